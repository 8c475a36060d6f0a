"""Corruption tasks: which part of a window is given, and how much room its gaps have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from textdiff.errors import ConfigError
from textdiff.registry import family, register
from textdiff.vocabulary import Vocabulary

Ids = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@family
class GapMaker(ABC):
    """Turns a window of text into a training sample of the same length.

    Attributes:
        blank: whether everything that is free is noise, whatever the noise level of the row.
        share: how often, relative to the other tasks.
    """

    blank: ClassVar[bool] = False

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

    def make_document(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        """The same of a document that is seen alone, up to the end of its text: all of it, so that it may get longer."""
        return self.make(ids, vocabulary, generator, joins)


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


class _CuttingTask(GapMaker):
    """Goes through a window and leaves gaps in it.

    Attributes:
        density: the part of the window that lies in gaps, on average.
        words: the part of the gaps that hold whole words, as the gaps of documents do.
    """

    density: float
    words: float

    def __post_init__(self) -> None:
        _check_share(self.share)
        for name, value in vars(self).items():
            if isinstance(value, float) and name != "share" and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {value}")

    def make(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        cutter = _Cutter(ids, generator, None if joins is None else _edges(ids, joins))
        while cutter.written < len(ids):
            self._cut(cutter, vocabulary, generator)
        made, given = cutter.result()
        return made[: len(ids)], given[: len(ids)]

    def make_document(
        self, ids: Ids, vocabulary: Vocabulary, generator: np.random.Generator, joins: Flags | None = None
    ) -> tuple[Ids, Flags]:
        edges = None if joins is None else [*_edges(ids, joins), len(ids)]  # no word goes on at its end
        cutter = _Cutter(ids, generator, edges)
        while cutter.left > 0:
            self._cut(cutter, vocabulary, generator)
        return cutter.result()

    @abstractmethod
    def _cut(self, cutter: _Cutter, vocabulary: Vocabulary, generator: np.random.Generator) -> None:
        """Leaves some text, and a gap after it."""


@register(GapMaker, "gaps")
@dataclass(frozen=True)
class GapsTask(_CuttingTask):
    """Several gaps whose lengths are known, each as many positions as text: what a document looks like while it is filled.

    Attributes:
        share: how often, relative to the other tasks.
        max_length: the longest gap, in tokens; lengths are log-uniform up to it.
        density, words: see `_CuttingTask`.
    """

    share: float = 1.0
    max_length: int = 24
    density: float = 0.5
    words: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_length("max_length", self.max_length, 1)

    def _cut(self, cutter: _Cutter, vocabulary: Vocabulary, generator: np.random.Generator) -> None:
        length = _log_uniform(self.max_length, generator)
        cutter.skip(length, self.density)
        cutter.gap(length, self.max_length, generator.random() < self.words)


@register(GapMaker, "lengths")
@dataclass(frozen=True)
class LengthsTask(_CuttingTask):
    """Several gaps with more room than text, all of it noise: what is left over holds the filler.

    It shows the network a document as it is when the lengths are chosen, before anything is written. The last position of
    a room is a given filler, which tells it from a gap of known length. The text's length is log-uniform whatever the
    room, so what a gap's length is has to be learned from the text around it.

    Attributes:
        share: how often, relative to the other tasks.
        max_room: the largest room of a gap, in positions; rooms are uniform from 2.
        exact: the part of the gaps that have no room to spare, and no filler: their lengths are known.
        density, words: see `_CuttingTask`.
    """

    blank: ClassVar[bool] = True

    share: float = 1.0
    max_room: int = 24
    density: float = 0.35
    exact: float = 0.25
    words: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_length("max_room", self.max_room, 2)

    def _cut(self, cutter: _Cutter, vocabulary: Vocabulary, generator: np.random.Generator) -> None:
        if vocabulary.filler_id is None:
            raise ConfigError("the task 'lengths' needs a vocabulary with a filler token")
        room = int(generator.integers(2, self.max_room + 1))
        cutter.skip(room, self.density)
        text = cutter.gap(_log_uniform(room - 1, generator), room - 1, generator.random() < self.words)
        if text and generator.random() >= self.exact:
            cutter.fill(room - text, vocabulary.filler_id)


class _Cutter:
    """A window with the gaps that are cut into it.

    Args:
        ids: the window.
        generator: of all that is drawn.
        edges: where no word is cut, rising, or None.
    """

    def __init__(self, ids: Ids, generator: np.random.Generator, edges: list[int] | None) -> None:
        self._ids, self._generator, self._edges = ids, generator, edges
        # Plain numbers, put together once at the end: there are dozens of small pieces, and an array of each costs more.
        self._lengths: list[int] = []
        self._given: list[bool] = []
        self._fillers: list[tuple[int, int, int]] = []
        self._read = 0
        self.written = 0

    def skip(self, room: int, density: float) -> None:
        """Leaves text before a gap of so much room: on average as much as makes the density."""
        kept = 1 + int(room * (1 - density) / max(density, 1e-3) * self._generator.standard_exponential())
        self._take(min(self._read + kept, len(self._ids)), True)

    def gap(self, length: int, limit: int, whole_words: bool) -> int:
        """A gap of about so many tokens, at most `limit`; returns how many: less where the text ends."""
        start, stop = self._read, self._read + length
        if self._edges is not None and whole_words:
            start, stop = _whole_words(self._edges, start, stop, start + limit)
        start, stop = min(start, len(self._ids)), min(stop, len(self._ids))
        self._take(start, True)
        self._take(stop, False)
        return stop - start

    def fill(self, count: int, filler: int) -> None:
        """Fillers, of which the last is given."""
        self._fillers.append((self._read, count, filler))
        self._append(count - 1, False)
        self._append(1, True)

    @property
    def left(self) -> int:
        """How much of the window is not written yet."""
        return len(self._ids) - self._read

    def result(self) -> tuple[Ids, Flags]:
        parts, before = [], 0
        for place, count, filler in self._fillers:
            parts += [self._ids[before:place], np.full(count, filler, dtype=np.int32)]
            before = place
        ids = np.concatenate([*parts, self._ids[before : self._read]])
        return ids, np.repeat(np.array(self._given), self._lengths)

    def _take(self, stop: int, given: bool) -> None:
        self._append(stop - self._read, given)
        self._read = stop

    def _append(self, count: int, given: bool) -> None:
        self._lengths.append(count)
        self._given.append(given)
        self.written += count


def _check_length(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")


def _edges(ids: Ids, joins: Flags) -> list[int]:
    """Where a word begins, rising."""
    places: list[int] = np.flatnonzero(~joins[ids]).tolist()
    return places


def _log_uniform(most: int, generator: np.random.Generator) -> int:
    """An integer from 1 to `most`; k has the probability log((k + 1) / k) / log(most + 1)."""
    return int(math.exp(math.log(most + 1) * generator.random()))


def _whole_words(edges: list[int], start: int, stop: int, limit: int) -> tuple[int, int]:
    """Moves a span to the next places where no word is cut; it gets no longer than limit - start.

    Args:
        edges: where no word is cut, rising.
    """
    room, text = limit - start, stop - start
    first = bisect_left(edges, start)
    if first == len(edges):
        return start, stop
    start = edges[first]
    last = bisect_left(edges, start + text)
    if last == len(edges) or edges[last] > start + room:
        last -= 1  # the word is longer than what is left: end before it
    return start, edges[last] if last > first else start + text
