"""The most probable tokens in the last step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.warps.base import Warp
from textdiff.sampling.warps.temperature import tempered

_COLD = 1e-30
"""A temperature at which nothing but the most probable token is left, and none loses all of its probability."""


@register(Warp, "greedy_tail")
@dataclass(frozen=True)
class GreedyTailWarp(Warp):
    """In a row's last step temperature 0, before it nothing.

    With noise that does not show, every token is then replaced by the one that the others make most probable: mistakes go,
    and so does what is rare. With masks it decides about those that are left, few after many steps.

    Source: the greedy tail of Duo, arXiv 2506.10892, section 4.2.
    """

    def at(self, step: Step) -> Warp:
        return _Tail(step.last.unsqueeze(-1))

    def __call__(self, log_p: Tensor) -> Tensor:
        return log_p


@dataclass(frozen=True)
class _Tail(Warp):
    """Of a step. last: Bool [N, 1]."""

    last: Tensor

    def __call__(self, log_p: Tensor) -> Tensor:
        return torch.where(self.last, tempered(log_p, _COLD), log_p)

    def softened(self, log_p: Tensor) -> Tensor:
        return self(log_p)
