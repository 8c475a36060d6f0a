"""The rates of reversed time, with jumps that are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.transitions.base import Transition
from textdiff.sampling.transitions.rates import RateTransition


@register(Transition, "tau_leaping")
@dataclass(frozen=True)
class TauLeapingTransition(RateTransition):
    """Jumps to j are counted by a Poisson law of mean rate_t(j) (t - s). One jump is made.

    Ids cannot be added up: of several jumps in one step none is made, or the first one alone.

    Attributes:
        several: `rejected`, as in the source for data without order, or `first`.

    Source: arXiv 2205.14987, section 4.3, and its authors' sampler for categorical data; the first jump alone, for masks,
        arXiv 2502.00234.
    """

    several: Literal["rejected", "first"] = "rejected"

    def leaves(self, expected: Tensor) -> Tensor:
        if self.several == "first":
            return -torch.expm1(-expected)
        # At t = 1 so many may be expected that infinity times 0 would be left.
        counted = expected.clamp(max=1e6)
        return counted * (-counted).exp()
