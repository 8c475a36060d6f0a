"""Only the most probable tokens that together reach p."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.warps.base import Warp


@register(Warp, "top_p")
@dataclass(frozen=True)
class TopPWarp(Warp):
    """Keeps the fewest most probable tokens that together reach p, and those as probable as the last of them.

    Attributes:
        p: above 0, at most 1; 1 changes nothing.

    Source: arXiv 1904.09751, section 3.1.
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise ConfigError(f"p must be above 0 and at most 1, got {self.p}")

    def __call__(self, log_p: Tensor) -> Tensor:
        if self.p == 1:
            return log_p
        ranked = log_p.sort(-1, descending=True).values
        probability = ranked.exp()
        before = probability.cumsum(-1, dtype=torch.float64) - probability
        last = (before < self.p).sum(-1, keepdim=True) - 1
        return log_p.masked_fill(log_p < ranked.gather(-1, last), -torch.inf).log_softmax(-1)
