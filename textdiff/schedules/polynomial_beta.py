"""A noise rate that grows as a power of time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.schedules.base import Schedule
from textdiff.schedules.rates import RateSchedule


@register(Schedule, "polynomial_beta")
@dataclass(frozen=True)
class PolynomialBetaSchedule(RateSchedule):
    """beta_t = beta_max t^power per unit of time; alpha its cumulative product, rescaled.

    In T discrete steps with the noise rate (k / T)^power of step k, beta_max is T.

    Raises:
        ConfigError: the power is negative or beta_max is not positive.
    """

    power: float = 1.0
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not (self.power >= 0 and self.beta_max > 0):
            raise ConfigError(f"power >= 0 and beta_max > 0 are needed, got {self.power} and {self.beta_max}")

    def rate(self, t: Tensor) -> Tensor:
        return self.beta_max * t**self.power

    def total(self, t: Tensor) -> Tensor:
        return self.beta_max / (self.power + 1) * t ** (self.power + 1)

    def time_of(self, total: Tensor) -> Tensor:
        return (total * (self.power + 1) / self.beta_max) ** (1 / (self.power + 1))
