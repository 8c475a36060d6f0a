"""Only the k most probable tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.warps.base import Warp


@register(Warp, "top_k")
@dataclass(frozen=True)
class TopKWarp(Warp):
    """Keeps the k most probable tokens, and those as probable as the k-th.

    Attributes:
        k: at least 1.

    Source: arXiv 1805.04833, section 5.4.
    """

    k: int = 50

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"k must be at least 1, got {self.k}")

    @property
    def greedy(self) -> bool:
        return self.k == 1

    def __call__(self, log_p: Tensor) -> Tensor:
        if self.k >= log_p.shape[-1]:
            return log_p
        least = log_p.topk(self.k).values[:, -1:]
        return log_p.masked_fill(log_p < least, -torch.inf).log_softmax(-1)
