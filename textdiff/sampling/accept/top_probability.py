"""The positions with a sure answer first, whatever answer was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.accept.ranked import RankedAccept
from textdiff.sampling.step import Step


@register(Accept, "top_probability")
@dataclass(frozen=True)
class TopProbabilityAccept(RankedAccept):
    """Ranks by the probability of the most probable token, proposed or not.

    The order does not look at what was drawn: one token at a time is exact in law at any temperature. `top_k`, which
    ranks by the proposal's own probability, settles the probable draws and draws the others again, until all are probable.

    Source: arXiv 2502.06768, section 4.1.
    """

    places_are_told: ClassVar[bool] = True

    def score(self, step: Step) -> Tensor:
        return step.log_p.max(-1).values
