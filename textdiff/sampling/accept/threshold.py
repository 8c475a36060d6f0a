"""All that the network is sure of."""

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


@register(Accept, "threshold")
@dataclass(frozen=True)
class ThresholdAccept(Accept):
    """Settles every proposal of at least this probability, and in any case the most probable one of each row.

    Attributes:
        threshold: a probability above 0, at most 1.

    Source: Fast-dLLM, arXiv 2505.22618, section 3.3.
    """

    settles_some: ClassVar[bool] = True

    threshold: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold must be above 0 and at most 1, got {self.threshold}")

    def choose(self, step: Step) -> Tensor:
        confidence = step.confidence
        return (confidence >= math.log(self.threshold)) | (rank_by_score(step.row, confidence) == 0)
