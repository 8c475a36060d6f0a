"""How many tokens a gap gets, from the model's own fillers.

A model that knows the filler token was trained on gaps with more room than text, each with a given filler at its end that
tells it from a gap of known length. Its probability of a filler at position k of an empty gap is the probability that the
text ends before it: one network call gives the whole law of the length.

What is likely is a length; what is wanted is a text. Where a gap held one word that the model is sure of, the likeliest length
may be a longer one, of whose many texts none is likely by itself. So short lengths are tried in one more call, and where
p(length) p(text | length) stands out, that length is taken. What is compared is p(length) times the probability of the least
sure of the gap's best tokens while all of it is noise: of one token this is the probability of the text, of more a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.infiller.drafts import LengthOdds, Odds, Plan, Sized
from textdiff.infiller.forward import best_log_p, first_looks, log_mass
from textdiff.infiller.tries import Try, looks_at
from textdiff.model import DiffusionModel
from textdiff.text.layout import Layout, lay_out
from textdiff.text.tokenizers import Tokenizer
from textdiff.text.wishes import Wish

_STREAM = 0x1E17


def size_by_model(
    plans: Sequence[Plan], model: DiffusionModel, tokenizer: Tokenizer, temperature: float
) -> list[Sized]:
    """Gives every gap a length, several gaps of a document together: the surest first, the others knowing of it.

    Args:
        plans: what is to be written.
        model: one whose vocabulary has a filler.
        tokenizer: the model's.
        temperature: 0 takes the median of the law, 1 draws from it; in between, from the part around the median.
    """
    sizing = _Sizing(plans, model, tokenizer, temperature)
    while sizing.open:
        sizing.advance()
    return sizing.result()


class _Sizing:
    """The state of a search for lengths: each round asks the network once or twice, and settles half of what is left."""

    def __init__(self, plans: Sequence[Plan], model: DiffusionModel, tokenizer: Tokenizer, temperature: float) -> None:
        self._plans, self._model, self._tokenizer, self._temperature = plans, model, tokenizer, temperature
        self._lengths = [[wish.lengths[-1] for wish in plan.wishes] for plan in plans]
        self._odds: list[list[Odds]] = [[() for _ in plan.wishes] for plan in plans]
        self.open = {
            (number, gap)
            for number, plan in enumerate(plans)
            for gap, wish in enumerate(plan.wishes)
            if len(wish.lengths) > 1
        }

    def advance(self) -> None:
        waiting = sorted({number for number, _ in self.open})
        drafts = [self._plans[n].draft(self._lengths[n], self._open_gaps(n)) for n in waiting]
        layout = lay_out(drafts, self._tokenizer, self._model.config.context_length)
        settling: dict[_Place, Odds] = {}
        for number, laws in self._laws(layout, waiting).items():
            surest = sorted(laws, key=lambda gap: (_entropy(laws[gap]), gap))
            for gap in surest[: (len(surest) + 1) // 2]:
                lengths, law = self._plans[number].wishes[gap].lengths, laws[gap].tolist()
                settling[number, gap] = tuple(LengthOdds(k, p) for k, p in zip(lengths, law, strict=True))
        standing = self._standing_out(settling) if self._temperature < _WARM else {}
        for (number, gap), odds in settling.items():
            drawn = _pick(odds, self._plans[number].seed, gap, self._temperature)
            self._lengths[number][gap] = standing.get((number, gap), drawn)
            self._odds[number][gap] = odds
        self.open -= settling.keys()

    def result(self) -> list[Sized]:
        return [
            Sized(plan, tuple(lengths), tuple(odds))
            for plan, lengths, odds in zip(self._plans, self._lengths, self._odds, strict=True)
        ]

    def _standing_out(self, settling: Mapping[_Place, Odds]) -> dict[_Place, int]:
        """The lengths of the gaps where a short text stands out; asks the network once for each length that is tried."""
        likely = {
            Try(*place, o.tokens): o.probability
            for place, odds in settling.items()
            for o in odds
            if o.tokens <= _SHORT and o.probability >= _LIKELY
        }
        found: dict[_Place, tuple[float, int]] = {}
        looks = looks_at([*likely], self._plans, self._lengths, self._model, self._tokenizer, self._open_gaps)
        for attempt, log_p in looks:
            place = attempt.plan, attempt.gap
            best = best_log_p(log_p, self._plans[attempt.plan].wishes[attempt.gap].automaton)
            standing = (likely[attempt] * math.exp(float(best.min())), -attempt.tokens)
            found[place] = max(found.get(place, (_LIKELY, 0)), standing)
        return {place: -tokens for place, (_, tokens) in found.items() if tokens}

    def _open_gaps(self, number: int) -> list[int]:
        return [gap for gap in range(len(self._plans[number].wishes)) if (number, gap) in self.open]

    def _laws(self, layout: Layout, waiting: Sequence[int]) -> dict[int, dict[int, Tensor]]:
        """For each plan that waits and each of its open gaps the law of its length."""
        wanted = [s for s in layout.slots if s.kept and (waiting[s.draft], s.gap) in self.open]
        laws: dict[int, dict[int, Tensor]] = {}
        for slot, log_p in first_looks(self._model, layout, wanted):
            number = waiting[slot.draft]
            laws.setdefault(number, {})[slot.gap] = self._law(log_p, self._plans[number].wishes[slot.gap])
        return laws

    def _law(self, log_p: Tensor, wish: Wish) -> Tensor:
        """The probabilities of a wish's lengths, float64, from log-probabilities [R, V] at its positions."""
        filler = self._tokenizer.vocabulary.filler_id
        assert filler is not None
        # at position k: the text has at most k tokens; after the last one it has certainly ended
        never, surely = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        ended = torch.cat([never, log_p[1:, filler].double().exp(), surely]).cummax(0).values
        law = ended.diff().clamp(min=_LEAST)
        lengths = torch.tensor(wish.lengths)
        log_law = law.log()[lengths - 1] + log_mass(wish.automaton, log_p, filler)[lengths - 1]
        return log_law.softmax(0)


_Place = tuple[int, int]
"""The number of a plan, and of a gap in it."""


_WARM = 0.5
"""From this temperature on lengths are drawn, whatever stands out."""
_SHORT = 3
"""Texts of more tokens hardly ever stand out."""
_LIKELY = 0.1
"""What stands out has at least this probability. With less more gaps of one word are right, and longer gaps get one word."""
_LEAST = 1e-5
"""The network's single precision says nothing about differences of probabilities that are smaller."""


def _entropy(law: Tensor) -> float:
    return float(-(law * law.clamp(min=_LEAST).log()).sum())


def _pick(odds: Odds, seed: int, gap: int, temperature: float) -> int:
    """A length: at temperature 1 drawn from its law, at 0 the median, whose expected error is the least.

    In between it is a quantile of the middle part of the law; above 1 it is drawn from law^(1/temperature). A law of
    lengths is often flat, and its peak then says little: on held-out novels the median is off by 5.0 tokens where the most
    probable length is off by 5.8.
    """
    uniform = 0.5 if temperature <= 0 else float(Draws.seeded([seed]).fold(_STREAM, gap).uniform(1)[0, 0])
    quantile = 0.5 + min(temperature, 1.0) * (uniform - 0.5)
    law = torch.tensor([o.probability for o in odds], dtype=torch.float64)
    if temperature > 1:
        law = (law.log() / temperature).softmax(0)
    return odds[min(int((law.cumsum(0) <= quantile).sum()), len(odds) - 1)].tokens
