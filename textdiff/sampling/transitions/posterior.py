"""The reverse kernel of the process itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.proposal import draw, propose, warped
from textdiff.sampling.warps import Warp


@register(Transition, "posterior")
@dataclass(frozen=True)
class PosteriorTransition(Transition):
    """x_s ~ p(x_s | x_t), for any process. Accept and renoise policies have no say.

    A position settles once the process can change it no more: when its mask is gone, or else at s = 0. Where a
    constraint ties positions together, x_0 ~ p(x_0 | x_t) is drawn jointly, then x_s ~ q(x_s | x_t, x_0) position by
    position, which has the law of p(x_s | x_t) under the constraint: what settles is a part of such an x_0.
    Source: D3PM, arXiv 2107.03006, Eq. 4; MDLM, arXiv 2406.07524, Eq. 7.
    """

    alone: ClassVar[bool] = True

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        if step.joint is not None:
            log_p = _at_s(step, _certain(step, propose(step, warps)))
        elif step.sides is None:
            log_p = _at_s(step, warped(step.log_p_x0, warps))
        else:
            strong, weak = [_at_s(step, warped(side, warps)) for side in step.sides]
            log_p = step.guidance.combined(strong, weak, step.t[step.row])
        ids = draw(step, log_p)
        every = torch.ones_like(ids, dtype=torch.bool)
        return Move(ids, ~step.process.scored(ids, every) | step.last)


def _at_s(step: Step, log_p_x0: Tensor) -> Tensor:
    """log p(x_s | x_t) [N, V]."""
    return step.process.posterior(log_p_x0, step.pack(step.x_t), step.s[step.row], step.t[step.row])


def _certain(step: Step, x_0: Tensor) -> Tensor:
    """log p of these tokens for certain, float [N, V]."""
    return torch.full_like(step.log_p_x0, -torch.inf).scatter(-1, x_0.unsqueeze(-1), 0.0)
