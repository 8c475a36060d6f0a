"""Corruption tasks: which part of a window is given, and how much room its gaps have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textdiff.errors import ConfigError
from textdiff.registry import family, register
from textdiff.vocabulary import Vocabulary

Ids = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@family
class GapMaker(ABC):
    """Turns a window of text into a training sample of the same length."""

    share: float

    @abstractmethod
    def make(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        """Returns clean ids, fillers included, and which of them are given (both [L]).

        Args:
            ids: [L].
            vocabulary: of the model.
            generator: of all that is drawn.
            joins: [V], the tokens that go on with a word (see `word_joins`), or None where nothing is known of words.
        """


def _check_share(share: float) -> None:
    if not share > 0:
        raise ConfigError(f"share must be above 0, got {share}")


@register(GapMaker, "whole")
@dataclass(frozen=True)
class WholeTask(GapMaker):
    """Everything is free: unconditional generation. `share`: how often, relative to the other tasks."""

    share: float = 1.0

    def __post_init__(self) -> None:
        _check_share(self.share)

    def make(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        return ids, np.zeros(len(ids), dtype=np.bool_)


@register(GapMaker, "prefix")
@dataclass(frozen=True)
class PrefixTask(GapMaker):
    """The start is given, its length uniform: continuation of a prompt."""

    share: float = 1.0

    def __post_init__(self) -> None:
        _check_share(self.share)

    def make(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        return ids, np.arange(len(ids)) < generator.integers(len(ids))


@register(GapMaker, "gaps")
@dataclass(frozen=True)
class GapsTask(GapMaker):
    """Several gaps, most of them with more room than text: what is left over holds the filler.

    Attributes:
        share: how often, relative to the other tasks.
        max_room: the largest room of a gap, in positions; rooms are log-uniform up to it.
        density: the part of the window that lies in gaps, on average.
        exact: the part of the gaps whose text fills all of their room.
        words: the part of the gaps that hold whole words, as the gaps of documents do.

    The text's length is log-uniform between 1 and the room, and so independent of anything that the network sees: what a
    filled gap's length is has to be learned.
    """

    share: float = 1.0
    max_room: int = 32
    density: float = 0.4
    exact: float = 0.25
    words: float = 0.8

    def __post_init__(self) -> None:
        _check_share(self.share)
        if self.max_room < 1:
            raise ConfigError(f"max_room must be at least 1, got {self.max_room}")
        for name in ("density", "exact", "words"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {getattr(self, name)}")

    def make(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        if vocabulary.filler_id is None:
            raise ConfigError("the task 'gaps' needs a vocabulary with a filler token")
        edges = None if joins is None else np.flatnonzero(~joins[ids])
        parts: list[Ids] = []
        given: list[Flags] = []
        read = written = 0
        while written < len(ids):
            room = _log_uniform(self.max_room, generator)
            exact = generator.random() < self.exact
            text = room if exact else _log_uniform(room, generator)
            start = read + 1 + int(generator.exponential(room * (1 - self.density) / max(self.density, 1e-3)))
            stop = start + text
            if edges is not None and generator.random() < self.words:
                start, stop = _whole_words(edges, start, stop, start + room)
            filler = np.full(0 if exact else room - (stop - start), vocabulary.filler_id, dtype=np.int32)
            parts += [ids[read:start], ids[start:stop], filler]
            given += [np.full(len(part), i == 0) for i, part in enumerate(parts[-3:])]
            read = stop
            written += sum(map(len, parts[-3:]))
        return np.concatenate(parts)[: len(ids)], np.concatenate(given)[: len(ids)]


def _log_uniform(most: int, generator: np.random.Generator) -> int:
    """An integer from 1 to `most`; k has the probability log((k + 1) / k) / log(most + 1)."""
    return int(np.exp(generator.uniform(0, np.log(most + 1))))


def _whole_words(edges: npt.NDArray[np.int64], start: int, stop: int, limit: int) -> tuple[int, int]:
    """Moves a span to the next places where no word is cut; it gets no longer than limit - start.

    Args:
        edges: where no word is cut, rising.
    """
    room, text = limit - start, stop - start
    first = int(np.searchsorted(edges, start))
    if first == len(edges):
        return start, stop
    start = int(edges[first])
    last = int(np.searchsorted(edges, start + text))
    if last == len(edges) or edges[last] > start + room:
        last -= 1  # the word is longer than what is left: end before it
    return start, int(edges[last]) if last > first else start + text
