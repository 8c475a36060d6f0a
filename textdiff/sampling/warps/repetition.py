"""Less of what stands already."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.warps.base import Warp


@register(Warp, "repetition")
@dataclass(frozen=True)
class RepetitionWarp(Warp):
    """p^penalty for the tokens that stand in the row already, given or settled, before it is normalised.

    Tokens that settle in the same step do not see each other. Source: CTRL, arXiv 1909.05858, section 4.1, on
    log-probabilities, which unlike logits have no arbitrary zero.

    Attributes:
        penalty: finite, above 0; 1 changes nothing, below 1 repeats more.
    """

    penalty: float = 1.2

    def __post_init__(self) -> None:
        if not (self.penalty > 0 and math.isfinite(self.penalty)):
            raise ConfigError(f"penalty must be a finite number above 0, got {self.penalty}")

    def at(self, step: Step) -> Warp:
        rows, size = len(step.x_t), step.process.vocabulary.size
        stands = torch.zeros(rows, size, dtype=torch.bool, device=step.x_t.device)
        row, column = step.stands.nonzero(as_tuple=True)
        stands[row, step.x_t[row, column]] = True
        return _Repeated(self.penalty, stands[step.row])

    def __call__(self, log_p: Tensor) -> Tensor:
        return log_p


@dataclass(frozen=True)
class _Repeated(Warp):
    """Of a step. stands: Bool [N, V]."""

    penalty: float
    stands: Tensor

    def __call__(self, log_p: Tensor) -> Tensor:
        return torch.where(self.stands, log_p * self.penalty, log_p).log_softmax(-1)

    def softened(self, log_p: Tensor) -> Tensor:
        return self(log_p)
