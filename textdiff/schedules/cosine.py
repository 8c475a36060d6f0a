"""alpha = cos^2(pi t / 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.schedules.base import Schedule


@register(Schedule, "cosine")
@dataclass(frozen=True)
class CosineSchedule(Schedule):
    """Slow at both ends. Source: Improved DDPM, arXiv 2102.09672, Eq. 17, without its offset."""

    def alpha(self, t: Tensor) -> Tensor:
        # The sine of the rest of the way is exactly 0 at t = 1; cos(pi / 2) is not.
        return torch.sin(math.pi / 2 * (1 - t)) ** 2

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * torch.sin(math.pi * t)

    def inverse(self, alpha: Tensor) -> Tensor:
        return torch.atan2((1 - alpha).sqrt(), alpha.sqrt()) * (2 / math.pi)
