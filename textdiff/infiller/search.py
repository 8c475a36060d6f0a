"""How many tokens a gap gets where a model knows no filler: by trying, and comparing how sure the model is.

For each number k of masks the network is asked once, and the mean log-probability of its best tokens is taken. By itself
it depends on k, whatever the text: that bias is measured on texts of the model's own (see `bias`) and taken out. (Dividing
by how much it varies there was tried, and found wrong lengths: a real text makes the model surer than any of its own.)
Source: arXiv 2602.00476 (first-step confidence, its bias for each length, search for its peak).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from textdiff.infiller.drafts import LengthOdds, Odds, Plan, Sized
from textdiff.infiller.forward import best_log_p, log_mass
from textdiff.infiller.tries import Try, looks_at
from textdiff.model import DiffusionModel
from textdiff.text.tokenizers import Tokenizer

Bias = Callable[[int], float]
"""What the first-step confidence of k masks is on average, whatever the text."""

_COARSE = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_FIRST_GUESS = 3
_SWEEPS = 2


def size_by_search(plans: Sequence[Plan], model: DiffusionModel, tokenizer: Tokenizer, bias: Bias) -> list[Sized]:
    """Gives every gap a length: the gaps of a document one after the other, twice, each with the others as they stand."""
    search = _Search(plans, model, tokenizer, bias)
    for sweep in range(_SWEEPS):
        # a gap that is the only one has nothing to learn from a second sweep, whatever else is in the batch
        turns = [gaps if sweep == 0 or len(gaps) > 1 else [] for gaps in search.open]
        for turn in range(max(map(len, turns), default=0)):
            search.settle([gaps[turn] if turn < len(gaps) else None for gaps in turns], sweep)
    return search.result()


class _Search:
    def __init__(self, plans: Sequence[Plan], model: DiffusionModel, tokenizer: Tokenizer, bias: Bias) -> None:
        self._plans, self._model, self._tokenizer, self._bias = plans, model, tokenizer, bias
        self._lengths = [[_nearest(wish.lengths, _FIRST_GUESS) for wish in plan.wishes] for plan in plans]
        self._odds: list[list[Odds]] = [[() for _ in plan.wishes] for plan in plans]
        self.open = [[g for g, wish in enumerate(plan.wishes) if len(wish.lengths) > 1] for plan in plans]

    def settle(self, turn: Sequence[int | None], sweep: int) -> None:
        """Chooses the length of one gap of each plan: first a few far apart, or what stands; then those around the best."""
        scores: list[dict[int, float]] = [{} for _ in turn]
        for round_ in range(2):
            tries = [
                Try(number, gap, k)
                for number, gap in enumerate(turn)
                if gap is not None
                for k in self._candidates(number, gap, scores[number], sweep, round_)
                if k not in scores[number]
            ]
            for attempt, score in zip(tries, self._scores(tries), strict=True):
                scores[attempt.plan][attempt.tokens] = score
        for number, gap in enumerate(turn):
            if gap is not None:
                found = scores[number]
                self._lengths[number][gap] = max(found, key=lambda k: (found[k], -k))
                tokens = sorted(found)
                law = torch.tensor([found[k] for k in tokens], dtype=torch.float64).softmax(0).tolist()
                self._odds[number][gap] = tuple(LengthOdds(k, p) for k, p in zip(tokens, law, strict=True))

    def result(self) -> list[Sized]:
        return [
            Sized(plan, tuple(lengths), tuple(odds))
            for plan, lengths, odds in zip(self._plans, self._lengths, self._odds, strict=True)
        ]

    def _candidates(self, number: int, gap: int, scores: dict[int, float], sweep: int, round_: int) -> Sequence[int]:
        lengths = self._plans[number].wishes[gap].lengths
        if scores:  # all between the neighbours of the best so far
            tried = sorted(scores)
            best = tried.index(max(scores, key=lambda k: (scores[k], -k)))
            low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
            return [k for k in lengths if low <= k <= high]
        if sweep:
            stands = self._lengths[number][gap]
            return [k for k in lengths if abs(k - stands) <= 1]
        return sorted({_nearest(lengths, k) for k in _COARSE if k <= lengths[-1]} | {lengths[-1]})

    def _scores(self, tries: Sequence[Try]) -> list[float]:
        found = looks_at(tries, self._plans, self._lengths, self._model, self._tokenizer)
        scores = {attempt: self._score(attempt, log_p) for attempt, log_p in found}
        return [scores[attempt] for attempt in tries]

    def _score(self, attempt: Try, log_p: Tensor) -> float:
        automaton = self._plans[attempt.plan].wishes[attempt.gap].automaton
        mass = log_mass(automaton, log_p, self._tokenizer.vocabulary.filler_id)[-1]
        return float(best_log_p(log_p, automaton).mean()) - self._bias(attempt.tokens) + float(mass) / attempt.tokens


def confidence(log_p: Tensor) -> float:
    """The first-step confidence of a gap from log-probabilities [k, V]: the mean of those of the best tokens, nats."""
    return float(log_p.log_softmax(-1).amax(-1).mean())


def _nearest(lengths: Sequence[int], wanted: int) -> int:
    return min(lengths, key=lambda k: (abs(k - wanted), k))
