"""alpha = 1 - t."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.schedules.base import Schedule


@register(Schedule, "linear")
@dataclass(frozen=True)
class LinearSchedule(Schedule):
    """alpha = 1 - t: the expected number of noisy tokens grows evenly. Source: MDLM, arXiv 2406.07524."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def inverse(self, alpha: Tensor) -> Tensor:
        return 1 - alpha
