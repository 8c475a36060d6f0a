"""Stretches of documents on their way to the canvas: what their gaps may hold, and how long they are to be."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from textdiff.text.layout import Draft
from textdiff.text.outline import Outline
from textdiff.text.wishes import Wish


@dataclass(frozen=True)
class LengthOdds:
    """A number of tokens that was considered for a gap, and how probable it was found."""

    tokens: int
    probability: float


Odds = tuple[LengthOdds, ...]


@dataclass(frozen=True)
class Plan:
    """A stretch of a document, or one of several goes at it, before its gaps have a length.

    Attributes:
        outline: the stretch in tokens.
        wishes: what each of its gaps may hold.
        seed: of this go.
    """

    outline: Outline
    wishes: Sequence[Wish]
    seed: int

    def draft(self, lengths: Sequence[int], open_gaps: Collection[int] = ()) -> Draft:
        return Draft(self.outline, self.seed, lengths, [wish.start for wish in self.wishes], open_gaps)

    def reseeded(self, seed: int) -> Plan:
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Sized:
    """A plan whose gaps have their lengths.

    Attributes:
        plan: the plan.
        lengths: tokens of each gap's text.
        odds: what was considered for each gap; () where there was no choice.
    """

    plan: Plan
    lengths: tuple[int, ...]
    odds: tuple[Odds, ...]

    @property
    def draft(self) -> Draft:
        return self.plan.draft(self.lengths)

    def log_odds(self, gap: int) -> float:
        """Log-probability of the length that a gap got; 0 where there was no choice."""
        chosen = [o.probability for o in self.odds[gap] if o.tokens == self.lengths[gap]]
        return math.log(max(chosen[0], 1e-12)) if chosen else 0.0
