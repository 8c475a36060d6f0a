"""Tokens that are far apart settle together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.step import Step


@register(Accept, "dilated")
@dataclass(frozen=True)
class DilatedAccept(Accept):
    """The first token, then that in the middle, then those in the middle of the gaps between, until there are none.

    n tokens take ceil(log2 n) + 1 network calls, and those of one call are as far from each other as can be: neighbours,
    which know most about each other, never settle together. The places do not depend on what the network says.

    Source: arXiv 2506.19037, section 3.
    """

    settles_some: ClassVar[bool] = True
    places_are_told: ClassVar[bool] = True

    def plan(self, step: Step) -> Tensor:
        level = _levels(step.free)
        now = torch.where(step.noisy, level, _NEVER).amin(-1, keepdim=True)
        return step.noisy & (level == now)


_NEVER = 64
"""A row has fewer levels than that."""


def _levels(free: Tensor) -> Tensor:
    """Long [B, L]: the round in which each free position settles."""
    rank = free.long().cumsum(-1) - 1
    rounds = torch.ceil(torch.log2(free.sum(-1, keepdim=True).clamp(min=1).double())).long()
    lowest_bit = (rank & -rank).clamp(min=1)
    level = rounds - torch.log2(lowest_bit.double()).long()
    return torch.where(rank <= 0, 0, level)
