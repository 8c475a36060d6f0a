"""Schedules that are given by the rate at which tokens are lost."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from textdiff.schedules.base import Schedule


class RateSchedule(Schedule):
    """alpha is the survival exp(-total(t)), rescaled so that it is exactly 0 at t = 1.

    Without the rescaling a finite rate leaves some tokens in place at t = 1, and generation, which starts from pure
    noise, would start from a law that training never showed.
    """

    @abstractmethod
    def rate(self, t: Tensor) -> Tensor:
        """The rate of loss at t, the derivative of `total`; positive inside (0, 1)."""

    @abstractmethod
    def total(self, t: Tensor) -> Tensor:
        """The integral of the rate from 0 to t."""

    @abstractmethod
    def time_of(self, total: Tensor) -> Tensor:
        """The inverse of `total`."""

    def alpha(self, t: Tensor) -> Tensor:
        total, end = self.total(t), self._end(t)
        return (-total).exp() * torch.expm1(total - end) / torch.expm1(-end)

    def alpha_prime(self, t: Tensor) -> Tensor:
        return self.rate(t) * (-self.total(t)).exp() / torch.expm1(-self._end(t))

    def inverse(self, alpha: Tensor) -> Tensor:
        end = self._end(alpha)
        scale = -torch.expm1(-end)
        # Two forms of the same: each is exact at one end.
        total = torch.where(alpha > 0.5, -torch.log1p((alpha - 1) * scale), -((-end).exp() + alpha * scale).log())
        return self.time_of(total).clamp(0, 1)

    def _end(self, like: Tensor) -> Tensor:
        return self.total(torch.ones((), dtype=torch.float64, device=like.device))
