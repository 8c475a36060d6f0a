"""The most probable proposals first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import RankedAccept
from textdiff.sampling.step import Step, Stream


@register(Accept, "top_k")
@dataclass(frozen=True)
class TopKAccept(RankedAccept):
    """Ranks by log p(proposal), plus Gumbel noise that fades out as the row fills.

    Attributes:
        randomness: the noise's scale at t = 1; 0 for none. It falls in proportion to 1 - alpha_s.

    Source: MaskGIT, arXiv 2202.04200, section 3.2; without noise LLaDA, arXiv 2502.09992.
    """

    randomness: float = 0.0

    def __post_init__(self) -> None:
        if not (self.randomness >= 0 and math.isfinite(self.randomness)):
            raise ConfigError(f"randomness must be a finite number of at least 0, got {self.randomness}")

    def score(self, step: Step) -> Tensor:
        if self.randomness == 0:
            return step.confidence
        gumbel = -(-step.drawn(Stream.ACCEPT).log()).log()
        return step.confidence + self.randomness * (1 - step.alpha_s)[step.row] * gumbel
