"""Sharper or flatter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.warps.base import Warp

_COLDEST = 1e-30
"""Below it single precision cannot divide by a temperature, and no token but the best has a chance anyhow."""


@register(Warp, "temperature")
@dataclass(frozen=True)
class TemperatureWarp(Warp):
    """p^(1/temperature), normalised. At 0 the most probable token for certain; the lowest id where several are.

    Attributes:
        temperature: finite, at least 0; 1 changes nothing.

    Source: Ackley, Hinton, Sejnowski 1985, "A learning algorithm for Boltzmann machines".
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"temperature must be a finite number of at least 0, got {self.temperature}")

    @property
    def greedy(self) -> bool:
        return self.temperature < _COLDEST

    def softened(self, log_p: Tensor) -> Tensor:
        return self(log_p)

    def __call__(self, log_p: Tensor) -> Tensor:
        if self.temperature == 1:
            return log_p
        if self.greedy:
            best = log_p.argmax(-1, keepdim=True)
            return torch.full_like(log_p, -torch.inf).scatter(-1, best, 0.0)
        return tempered(log_p, self.temperature)


def tempered(log_p: Tensor, temperature: float | Tensor) -> Tensor:
    """p^(1/temperature), normalised, for temperatures above 0: one number, or [N, 1]."""
    # The best token is moved to 0 first: a tiny temperature then overflows for the others only.
    return ((log_p - log_p.amax(-1, keepdim=True)) / temperature).log_softmax(-1)
