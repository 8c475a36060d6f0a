"""Tokens are proposed for x_0, and some of them accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp


@register(Transition, "accept")
@dataclass(frozen=True)
class AcceptTransition(Transition):
    """Draws from p(x_0 | x_t) where the accept policy plans to; what it does not choose keeps its noise.

    Where a constraint ties positions together x_0 is drawn jointly, and any part of it may settle. With absorbing noise
    and random acceptance this is ancestral sampling. Source: MaskGIT, arXiv 2202.04200.
    """

    def plans_ahead(self, accept: Accept) -> bool:
        return accept.plans_ahead

    def each_alone(self, accept: Accept) -> bool:
        return accept.plans_ahead

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return accept.plan(step) | (step.s == 0).unsqueeze(-1)

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        return self.settle(replace(step, proposal=propose(step, warps)), accept)

    def settle(self, step: Step, accept: Accept) -> Move:
        """What follows once something is proposed, whoever did."""
        settled = step.spread(accept.choose(step.for_policy())) | step.last
        return Move(torch.where(settled, step.proposal, step.pack(step.x_t)), settled)
