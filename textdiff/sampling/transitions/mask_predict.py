"""Everything is written at once, and what is least sure again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.accept.ranked import rank_by_score, staying
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp


@register(Transition, "mask_predict")
@dataclass(frozen=True)
class MaskPredictTransition(Transition):
    """Proposes a token at all noisy positions; the least probable tokens of the row, old and new, go back to noise.

    (1 - alpha_s) F of the F free positions do, so that n = F (N - k) / N are written anew in step k of N (linear schedule, or
    the grid `equal_alpha`). What stands keeps the probability that it had when it was written, however the text has changed
    since. Accept and renoise policies have no say.

    Source: Mask-Predict, arXiv 1904.09324, section 3.
    """

    alone: ClassVar[bool] = True
    final: ClassVar[bool] = False

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        step = replace(step, proposal=propose(step, warps))
        stays = _surest(step)
        settled = step.pack(stays)
        ids = torch.where(settled, step.proposal, step.pack(step.x_t))
        return Move(ids, settled, renoised=step.settled & ~stays)


def _surest(step: Step) -> Tensor:
    """Bool [B, L]: the free positions whose tokens stand at s."""
    log_p = step.sure.index_put((step.row, step.column), step.confidence.to(step.sure.dtype))
    row, column = step.free.nonzero(as_tuple=True)
    written = step.free.sum(-1) - staying(step)
    return torch.zeros_like(step.free).index_put((row, column), rank_by_score(row, log_p[row, column]) < written[row])
