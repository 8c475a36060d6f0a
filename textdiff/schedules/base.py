"""Noise schedules: how likely a token is to survive until time t."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from textdiff.registry import family


@family
class Schedule(ABC):
    """alpha(t): strictly falling from 1 at t = 0 (data) to 0 at t = 1 (noise). All tensors are float64, any shape."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The probability that a token has survived until t."""

    @abstractmethod
    def alpha_prime(self, t: Tensor) -> Tensor:
        """The derivative of alpha."""

    @abstractmethod
    def inverse(self, alpha: Tensor) -> Tensor:
        """The time at which alpha(t) has this value."""

    def beta(self, step: int, steps: int) -> float:
        """The discrete-time noise rate of step 1 … steps: 1 - alpha(step/steps) / alpha((step-1)/steps)."""
        later, earlier = (self.alpha(torch.tensor(k / steps, dtype=torch.float64)) for k in (step, step - 1))
        return float(1 - later / earlier)
