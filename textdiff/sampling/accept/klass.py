"""All that the network is sure of, and was sure of before."""

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


@register(Accept, "klass")
@dataclass(frozen=True)
class KlassAccept(Accept):
    """Settles where the most probable token is sure and the distribution no longer moves; at least the surest of each row.

    It has moved by KL(now || at the answer before). With an infinite `kl` it is `threshold` at temperature 0, with `kl` 0
    one token at a time by `top_probability`.

    Attributes:
        confidence: above 0, at most 1, what the most probable token must have.
        kl: nats, at least 0; what the distribution must have moved by less than.
        history: at least 1, how many times in a row it must have.

    Source: KLASS, arXiv 2511.05664, algorithm 1; where nothing is steady it settles one token, not a number of them.
    """

    settles_some: ClassVar[bool] = True
    places_are_told: ClassVar[bool] = True

    confidence: float = 0.9
    kl: float = 0.01
    history: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.confidence <= 1:
            raise ConfigError(f"confidence must be above 0 and at most 1, got {self.confidence}")
        if not self.kl >= 0:
            raise ConfigError(f"kl must be at least 0, got {self.kl}")
        if self.history < 1:
            raise ConfigError(f"history must be at least 1, got {self.history}")

    @property
    def compares(self) -> int:
        return self.history

    def choose(self, step: Step) -> Tensor:
        best = step.log_p.amax(-1)
        steady = (step.drift < self.kl) | math.isinf(self.kl)
        return steady.all(-1) & (best >= math.log(self.confidence)) | (rank_by_score(step.row, best) == 0)
