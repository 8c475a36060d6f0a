"""Total noise that grows geometrically."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.schedules.base import Schedule
from textdiff.schedules.rates import RateSchedule


@register(Schedule, "geometric")
@dataclass(frozen=True)
class GeometricSchedule(RateSchedule):
    """Total noise sigma_min^(1 - t) sigma_max^t; alpha = exp(-total), rescaled to run from exactly 1 to exactly 0.

    Raises:
        ConfigError: not 0 < sigma_min < sigma_max.

    Source: SEDD, arXiv 2310.16834, Section 5.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(f"0 < sigma_min < sigma_max is needed, got {self.sigma_min} and {self.sigma_max}")

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def rate(self, t: Tensor) -> Tensor:
        return self.sigma_min * self._growth * (self._growth * t).exp()

    def total(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.expm1(self._growth * t)

    def time_of(self, total: Tensor) -> Tensor:
        return torch.log1p(total / self.sigma_min) / self._growth
