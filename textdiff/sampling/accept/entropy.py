"""The least uncertain positions first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import RankedAccept
from textdiff.sampling.step import Step


@register(Accept, "entropy")
@dataclass(frozen=True)
class EntropyAccept(RankedAccept):
    """Ranks by the negative entropy of p(x_0 | x_t). Source: Dream, arXiv 2508.15487."""

    places_are_told: ClassVar[bool] = True

    def score(self, step: Step) -> Tensor:
        return -entropy_of(step.log_p)


def entropy_of(log_p: Tensor) -> Tensor:
    """Nats, float [N], of distributions given as log-probabilities [N, V]."""
    entropy: Tensor = torch.special.entr(log_p.exp()).sum(-1)
    return entropy
