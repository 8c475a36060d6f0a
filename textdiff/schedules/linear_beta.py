"""DDPM's schedule: a noise rate that grows linearly."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.schedules.base import Schedule
from textdiff.schedules.rates import RateSchedule


@register(Schedule, "linear_beta")
@dataclass(frozen=True)
class LinearBetaSchedule(RateSchedule):
    """beta_t = beta_min + (beta_max - beta_min) t per unit of time; alpha its cumulative product, rescaled.

    DDPM's 1e-4 to 0.02 per step over 1000 steps are 0.1 to 20 here.

    Raises:
        ConfigError: not 0 <= beta_min <= beta_max, or beta_max is 0.

    Source: DDPM, arXiv 2006.11239.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not (0 <= self.beta_min <= self.beta_max and self.beta_max > 0):
            raise ConfigError(f"0 <= beta_min <= beta_max > 0 is needed, got {self.beta_min} and {self.beta_max}")

    def rate(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def total(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + (self.beta_max - self.beta_min) / 2 * t)

    def time_of(self, total: Tensor) -> Tensor:
        root = (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * total).sqrt()
        return 2 * total / (self.beta_min + root).clamp(min=1e-300)
