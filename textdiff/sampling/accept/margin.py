"""The clearest decisions first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import RankedAccept
from textdiff.sampling.step import Step


@register(Accept, "margin")
@dataclass(frozen=True)
class MarginAccept(RankedAccept):
    """Ranks by how far the most probable token is ahead of the second. Source: arXiv 2502.06768, section 4.1."""

    places_are_told: ClassVar[bool] = True

    def score(self, step: Step) -> Tensor:
        best = step.log_p.topk(min(2, step.log_p.shape[-1])).values.exp()
        return best[:, 0] - best[:, -1]
