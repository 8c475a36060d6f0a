"""All that the network is sure of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import rank_by_score
from textdiff.sampling.step import Step


@register(Accept, "threshold")
@dataclass(frozen=True)
class ThresholdAccept(Accept):
    """Settles every proposal of at least this probability, and in any case the most probable one of each row.

    Attributes:
        probability: above 0, at most 1.

    Source: Fast-dLLM, arXiv 2505.22618, section 3.3.
    """

    probability: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ConfigError(f"probability must be above 0 and at most 1, got {self.probability}")

    def choose(self, step: Step) -> Tensor:
        confidence = step.confidence
        return (confidence >= math.log(self.probability)) | (rank_by_score(step.row, confidence) == 0)
