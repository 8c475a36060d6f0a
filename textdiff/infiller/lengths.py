"""How many tokens a gap gets, from the model's own fillers.

A model that knows the filler token was trained on gaps with more room than text, each with a given filler at its end that
tells it from a gap of known length. Its probability of a filler at position k of an empty gap is the probability that the
text ends before it: one network call gives the whole law of the length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.infiller.drafts import LengthOdds, Odds, Plan, Sized
from textdiff.infiller.forward import first_looks, log_mass
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
        temperature: 0 takes the most probable length, 1 draws.
    """
    sizing = _Sizing(plans, model, tokenizer, temperature)
    while sizing.open:
        sizing.advance()
    return sizing.result()


class _Sizing:
    """The state of a search for lengths: each round asks the network once and settles half of the gaps that are left."""

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
        for number, laws in self._laws(layout, waiting).items():
            surest = sorted(laws, key=lambda gap: (_entropy(laws[gap]), gap))
            for gap in surest[: (len(surest) + 1) // 2]:
                lengths = self._plans[number].wishes[gap].lengths
                chosen = _pick(laws[gap], self._plans[number].seed, gap, self._temperature)
                self._lengths[number][gap] = lengths[chosen]
                self._odds[number][gap] = tuple(
                    LengthOdds(k, p) for k, p in zip(lengths, laws[gap].tolist(), strict=True)
                )
                self.open.discard((number, gap))

    def result(self) -> list[Sized]:
        return [
            Sized(plan, tuple(lengths), tuple(odds))
            for plan, lengths, odds in zip(self._plans, self._lengths, self._odds, strict=True)
        ]

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


_LEAST = 1e-5
"""The network's single precision says nothing about differences of probabilities that are smaller."""


def _entropy(law: Tensor) -> float:
    return float(-(law * law.clamp(min=_LEAST).log()).sum())


def _pick(law: Tensor, seed: int, gap: int, temperature: float) -> int:
    """An index drawn from law^(1/temperature)."""
    if temperature <= 0:
        return int(law.argmax())
    sharpened = (law.log() / temperature).softmax(0)
    uniform = Draws.seeded([seed]).fold(_STREAM, gap).uniform(1)[0, 0]
    return min(int((sharpened.cumsum(0) <= uniform).sum()), len(law) - 1)
