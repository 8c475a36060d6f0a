"""The more positions settle together, the surer the last of them must be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import rank_by_score
from textdiff.sampling.step import Step


@register(Accept, "factor")
@dataclass(frozen=True)
class FactorAccept(Accept):
    """Settles the n most probable proposals, for the largest n with (n + 1)(1 - c_n) < factor; at least one.

    c_n is the probability of the n-th. Drawn greedily, tokens that are this sure are the best ones also together.

    Attributes:
        factor: above 0.

    Source: Fast-dLLM, arXiv 2505.22618, section 3.3 and theorem 1.
    """

    settles_some: ClassVar[bool] = True

    factor: float = 1.0

    def __post_init__(self) -> None:
        if not (self.factor > 0 and math.isfinite(self.factor)):
            raise ConfigError(f"factor must be a finite number above 0, got {self.factor}")

    def choose(self, step: Step) -> Tensor:
        confidence = step.confidence
        rank = rank_by_score(step.row, confidence)
        # Both sides of the product grow with n: what holds for n holds for all before it.
        return ((rank + 2) * -confidence.expm1() < self.factor) | (rank == 0)
