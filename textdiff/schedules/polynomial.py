"""alpha = 1 - t^p."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.schedules.base import Schedule


@register(Schedule, "polynomial")
@dataclass(frozen=True)
class PolynomialSchedule(Schedule):
    """alpha = 1 - t^power: above 1, tokens stay longer; below 1 they go sooner. Source: MD4, arXiv 2406.04329, Table 4.

    Raises:
        ConfigError: the power is not positive.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ConfigError(f"power must be greater than 0, got {self.power}")

    def alpha(self, t: Tensor) -> Tensor:
        return -torch.expm1(self.power * t.log())

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -self.power * t ** (self.power - 1)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) ** (1 / self.power)
