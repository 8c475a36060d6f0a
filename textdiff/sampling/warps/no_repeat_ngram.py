"""No run of tokens twice."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.warps.base import Warp


@register(Warp, "no_repeat_ngram")
@dataclass(frozen=True)
class NoRepeatNgramWarp(Warp):
    """Takes the probability from tokens that would complete an n-gram which stands elsewhere in the row already.

    A token may lie anywhere in the n-gram: it is drawn between others, not behind them. What settles in the same step is not
    seen, and where nothing would be left, nothing is taken. Source: arXiv 1705.04304, section 2.5, for both directions.

    Attributes:
        n: at least 1.
    """

    n: int = 3

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n must be at least 1, got {self.n}")

    def at(self, step: Step) -> Warp:
        banned = torch.zeros(len(step.row), step.process.vocabulary.size, dtype=torch.bool)
        texts, stands = step.x_t.tolist(), step.stands.tolist()
        known = [_completions(ids, here, self.n) for ids, here in zip(texts, stands, strict=True)]
        for place, (row, column) in enumerate(zip(step.row.tolist(), step.column.tolist(), strict=True)):
            tokens = _repeating(texts[row], stands[row], column, known[row], self.n)
            banned[place, sorted(tokens)] = True
        return _Banned(banned.to(step.x_t.device))

    def __call__(self, log_p: Tensor) -> Tensor:
        return log_p


_Key = tuple[int, tuple[int, ...]]
"""Which place of an n-gram is open, and its other tokens."""


def _completions(ids: Sequence[int], stands: Sequence[bool], n: int) -> dict[_Key, set[int]]:
    """For each n-gram that stands and each of its places the token there."""
    found: dict[_Key, set[int]] = defaultdict(set)
    for start in range(len(ids) - n + 1):
        if all(stands[start : start + n]):
            gram = tuple(ids[start : start + n])
            for place, token in enumerate(gram):
                found[place, gram[:place] + gram[place + 1 :]].add(token)
    return found


def _repeating(
    ids: Sequence[int], stands: Sequence[bool], column: int, known: Mapping[_Key, set[int]], n: int
) -> set[int]:
    """The tokens with which an n-gram around a position would stand twice: there before, or around it too."""
    starts = [
        start
        for start in range(max(0, column - n + 1), min(column, len(ids) - n) + 1)
        if all(stands[i] for i in range(start, start + n) if i != column)
    ]
    found: set[int] = set()
    for start in starts:
        place = column - start
        others = tuple(ids[i] for i in range(start, start + n) if i != column)
        found |= known.get((place, others), set())
    for first, second in itertools.combinations(starts, 2):
        token = ids[column + second - first]  # the only one with which the two could be equal
        text = [*ids[first:column], token, *ids[column + 1 : second + n]]
        if text[:n] == text[second - first :]:
            found.add(token)
    return found


@dataclass(frozen=True)
class _Banned(Warp):
    """Of a step. tokens: Bool [N, V]."""

    tokens: Tensor

    def __call__(self, log_p: Tensor) -> Tensor:
        left = log_p.masked_fill(self.tokens, -torch.inf)
        possible = torch.isfinite(left.amax(-1, keepdim=True))
        return torch.where(possible, left, log_p).log_softmax(-1)
