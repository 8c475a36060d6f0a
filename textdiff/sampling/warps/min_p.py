"""Only tokens that are not much less probable than the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.warps.base import Warp


@register(Warp, "min_p")
@dataclass(frozen=True)
class MinPWarp(Warp):
    """Keeps the tokens that are at least p times as probable as the most probable one.

    Attributes:
        p: from 0 to 1; 0 changes nothing.

    Source: arXiv 2407.01082, section 3.
    """

    p: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ConfigError(f"p must be from 0 to 1, got {self.p}")

    def __call__(self, log_p: Tensor) -> Tensor:
        if self.p == 0:
            return log_p
        least = log_p.amax(-1, keepdim=True) + math.log(self.p)
        return log_p.masked_fill(log_p < least, -torch.inf).log_softmax(-1)
