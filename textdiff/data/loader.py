"""Batches for training and evaluation: any batch can be made at any time, from its number alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from textdiff.data.documents import DocumentEnds
from textdiff.data.packing import Ids, PackedCorpus, keyed_generator
from textdiff.data.tasks import Flags, GapMaker
from textdiff.data.windows import Windows
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary


class Loader(Protocol):
    """What training takes its samples from, by their numbers."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def batch(self, first: int, rows: int) -> Canvas:
        """The canvas of the samples first … first + rows - 1."""
        ...


@dataclass(frozen=True)
class TrainingLoader:
    """Samples for training. Sample `number` depends on (seed, number) alone: batch size and processes change nothing.

    Attributes:
        corpus: where windows come from.
        vocabulary: specials in the text are given, never scored.
        tasks: how a window becomes a sample; one is drawn per sample in proportion to its share.
        condition_dropout: how often all that is given is hidden from the network, for guidance later.
        joins: Bool [V], the tokens that go on with a word, or None (see `word_joins`).
        ends: how documents are told apart, where they are not to see each other: each then has both of its ends and gaps of
            its own, and what no longer fits is cut off at the end of the window. None: a window is one text.
    """

    corpus: PackedCorpus
    vocabulary: Vocabulary
    tasks: tuple[GapMaker, ...]
    condition_dropout: float = 0.0
    joins: Flags | None = None
    ends: DocumentEnds | None = None

    def batch(self, first: int, rows: int) -> Canvas:
        """The canvas of the samples first … first + rows - 1."""
        samples = [self._sample(number) for number in range(first, first + rows)]
        ids = torch.from_numpy(np.stack([sample.ids for sample in samples])).long()
        given = torch.from_numpy(np.stack([sample.given for sample in samples]))
        hide = torch.tensor([sample.hidden for sample in samples])
        seeds = torch.tensor([sample.seed for sample in samples])
        blank = torch.tensor([sample.blank for sample in samples])
        frozen = given | ~self.vocabulary.writable()[ids]
        hidden = hide[:, None] & frozen if bool(hide.any()) else None
        numbers = [sample.documents for sample in samples if sample.documents is not None]
        documents = torch.from_numpy(np.stack(numbers)) if numbers else None
        blanks = blank if bool(blank.any()) else None
        return Canvas(ids, frozen, torch.ones_like(frozen), seeds, hidden, blanks, documents)

    def _sample(self, number: int) -> _Sample:
        generator = keyed_generator(self.corpus.seed, 2**63 + number)  # never the key of an epoch
        seed = int(generator.integers(2**63))
        hidden = bool(generator.random() < self.condition_dropout)
        task = self.tasks[bisect_right(self._shares, generator.random())]
        window = self.corpus.window(number)
        if self.ends is None:
            ids, given = task.make(window, self.vocabulary, generator, self.joins)
            return _Sample(ids, given, None, hidden, task.blank, seed)
        made = [self._document(document, task, generator) for document in self.ends.split(window)]
        ids, given = (np.concatenate(parts)[: len(window)] for parts in zip(*made, strict=True))
        numbers = np.repeat(np.arange(len(made)), [len(document) for document, _ in made])[: len(window)]
        return _Sample(ids, given, numbers, hidden, task.blank, seed)

    def _document(self, ids: Ids, task: GapMaker, generator: np.random.Generator) -> tuple[Ids, Flags]:
        """A document by itself, as the task shows it; what ends it stays out of its gaps."""
        writable = np.flatnonzero(self._writable[ids])
        if len(writable) == 0:
            return ids, np.ones(len(ids), dtype=np.bool_)
        stop = int(writable[-1]) + 1
        text, given = task.make_document(ids[:stop], self.vocabulary, generator, self.joins)
        return np.concatenate((text, ids[stop:])), np.append(given, np.ones(len(ids) - stop, dtype=np.bool_))

    @cached_property
    def _shares(self) -> list[float]:
        """Where each task's part of the unit interval ends, but for the last."""
        shares = np.array([task.share for task in self.tasks])
        ends: list[float] = (shares.cumsum() / shares.sum())[:-1].tolist()
        return ends

    @cached_property
    def _writable(self) -> Flags:
        return self.vocabulary.writable().numpy()


class _Sample(NamedTuple):
    """A row of a batch: ids [L], which are given [L], their documents [L]; whether these are hidden, all others noise."""

    ids: Ids
    given: Flags
    documents: npt.NDArray[np.int64] | None
    hidden: bool
    blank: bool
    seed: int


def evaluation_batches(
    ids: Ids,
    length: int,
    rows: int,
    vocabulary: Vocabulary,
    seed: int,
    limit: int | None = None,
    ends: DocumentEnds | None = None,
    stride: int | None = None,
) -> Iterator[Canvas]:
    """All of a text in windows, every writable token free in one of them; the last window may be shorter.

    Args:
        ids: the text.
        length: tokens of a window.
        rows: windows of a batch.
        vocabulary: of the model.
        seed: window i is seeded with (seed, i).
        limit: the number of windows, spread evenly over the text; all by default.
        ends: how documents are told apart, where they are not to see each other; windows then hold whole ones.
        stride: see `Windows`; what is only seen is given.
    """
    windows = Windows(ids, length, ends, stride)
    chosen = windows.spread(limit)
    writable = vocabulary.writable().numpy()
    for start in range(0, len(chosen), rows):
        part = chosen[start : start + rows]
        made = [windows.documents(number) for number in part]
        texts = [np.concatenate(documents) for documents in made]
        seen = [np.arange(len(text)) < windows.seen(number) for number, text in zip(part, texts, strict=True)]
        frozen = [(~writable[text] | given).tolist() for text, given in zip(texts, seen, strict=True)]
        seeds = [seed * 1_000_003 + number for number in part]
        numbers = [np.repeat(np.arange(len(documents)), [*map(len, documents)]).tolist() for documents in made]
        separate = None if ends is None else numbers
        yield Canvas.of_rows([text.tolist() for text in texts], frozen, seeds, vocabulary, separate)
