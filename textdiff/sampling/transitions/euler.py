"""The rates of reversed time, to first order."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.transitions.base import Transition
from textdiff.sampling.transitions.rates import RateTransition


@register(Transition, "euler")
@dataclass(frozen=True)
class EulerTransition(RateTransition):
    """x_s is j with probability rate_t(j) (t - s); where these would add up to more than 1 they are scaled down to 1.

    Its law depends on how the schedule runs in t. With absorbing noise and the linear schedule it is the exact kernel.
    Source: SEDD, arXiv 2310.16834, section 4.1; arXiv 2205.14987, section 4.
    """

    def leaves(self, expected: Tensor) -> Tensor:
        return expected.clamp(max=1)
