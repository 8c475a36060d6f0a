"""As many positions as can be drawn together without much harm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.entropy import entropy_of
from textdiff.sampling.accept.ranked import rank_by_score
from textdiff.sampling.step import Step


@register(Accept, "entropy_bound")
@dataclass(frozen=True)
class EntropyBoundAccept(Accept):
    """Settles the longest prefix, by rising entropy, whose entropies without the largest sum to at most gamma.

    That sum bounds what tokens drawn apart can lack of each other: sum H_i - H(all) <= sum H_i - max H_i. The first
    position always settles.

    Attributes:
        gamma: nats, at least 0; 0 settles one at a time where no position is certain.

    Source: arXiv 2505.24857, section 3.
    """

    settles_some: ClassVar[bool] = True
    places_are_told: ClassVar[bool] = True

    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not (self.gamma >= 0 and math.isfinite(self.gamma)):
            raise ConfigError(f"gamma must be a finite number of at least 0, got {self.gamma}")

    def choose(self, step: Step) -> Tensor:
        entropy = entropy_of(step.log_p).double()
        rank = rank_by_score(step.row, -entropy)
        ordered = torch.zeros(step.noisy.shape, dtype=torch.float64, device=entropy.device)
        ordered[step.row, rank] = entropy
        before = ordered.cumsum(-1) - ordered
        return (before[step.row, rank] <= self.gamma) | (rank == 0)
