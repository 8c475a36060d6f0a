"""Everything is written at once, and what is least sure again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.keep_best import keep_best, scores
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
        return keep_best(step, scores(step, step.sure))
