"""The reverse kernel of the process itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.even import all_noise, comes_apart, left_over, may_move, moved, turns_to_noise
from textdiff.sampling.transitions.kernel import KernelTransition, certain, exact_kernel
from textdiff.sampling.transitions.proposal import draw, propose, warped
from textdiff.sampling.warps import Warp


@register(Transition, "posterior")
@dataclass(frozen=True)
class PosteriorTransition(KernelTransition):
    """x_s ~ p(x_s | x_t), for any process.

    Where a constraint ties positions together, x_s ~ q(x_s | x_t, x_0) for an x_0 that is drawn jointly has the law of
    p(x_s | x_t) under the constraint. For noise of the form alpha x_0 + b this is also SEDD's analytic step (the Tweedie
    denoiser), for ratios of probabilities that follow from a law of x_0.

    Source: D3PM, arXiv 2107.03006, Eq. 4; MDLM, arXiv 2406.07524, Eq. 7; SEDD, arXiv 2310.16834, section 4.1.
    """

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy & may_move(step) if comes_apart(step) else step.noisy

    def forgets(self, step: Step) -> Tensor | None:
        return turns_to_noise(step) if comes_apart(step) else None

    def kernel(self, step: Step, log_p_x0: Tensor) -> Tensor:
        return exact_kernel(step, log_p_x0)

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        if not comes_apart(step):
            return super().move(step, accept, warps)
        if step.joint is None:
            ids = moved(step, warped(step.log_p_x0, warps))
        else:
            proposal = propose(step, warps)
            ids = draw(step, left_over(step, self.kernel(step, certain(step, proposal))))
            ids = torch.where(all_noise(step), proposal, ids)
        ids = torch.where(step.wanted | step.last, ids, step.pack(step.x_t))  # a stop policy may end a row now
        return Move(ids, step.last)
