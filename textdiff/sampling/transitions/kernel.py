"""Transitions that draw what stands at s from a law of each position."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.proposal import draw, propose, warped
from textdiff.sampling.warps import Warp


class KernelTransition(Transition):
    """x_s is drawn from `kernel`, position by position. The accept policy has no say.

    A position settles once the process can change it no more: when its mask is gone, or else at s = 0. Where a
    constraint ties positions together, x_0 ~ p(x_0 | x_t) is drawn jointly and x_s from the kernel for that x_0, so that
    what settles is a part of it. Where guidance has two sides, their laws of x_s are combined; a classifier bends the law
    of x_s, but with absorbing noise, as with a joint draw, that of x_0: what to write, not whether.
    """

    alone: ClassVar[bool] = True
    reads_clean: ClassVar[bool] = False

    @abstractmethod
    def kernel(self, step: Step, log_p_x0: Tensor) -> Tensor:
        """log p(x_s | x_t) [N, V] for a leave-one-out denoiser [N, V]. At s = 0 only ids that are writable have any."""

    def each_alone(self, accept: Accept) -> bool:
        return True

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        if step.joint is not None:
            log_p = self.kernel(step, certain(step, propose(step, warps)))
        elif step.sides is None:
            log_p = self.kernel(step, warped(step.log_p_x0, warps))
        else:
            strong, *weak = [self.kernel(step, warped(side, warps)) for side in step.sides]
            log_p = step.guidance.combined(strong, weak[0], step.t[step.row]) if weak else strong
            log_p = step.tilted(log_p)
        ids = draw(step, log_p)
        every = torch.ones_like(ids, dtype=torch.bool)
        return Move(ids, ~step.process.scored(ids, every) | step.last)


def exact_kernel(step: Step, log_p_x0: Tensor, to: Tensor | None = None) -> Tensor:
    """log p(x_s | x_t) [N, V] of the process itself. to: float64 [B], another time than the step's s."""
    s = step.s if to is None else to
    return step.process.posterior(log_p_x0, step.pack(step.x_t), s[step.row], step.t[step.row])


def certain(step: Step, x_0: Tensor) -> Tensor:
    """log p of these tokens for certain, float [N, V]."""
    return torch.full_like(step.log_p_x0, -torch.inf).scatter(-1, x_0.unsqueeze(-1), 0.0)
