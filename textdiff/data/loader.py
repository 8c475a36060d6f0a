"""Batches for training and evaluation: any batch can be made at any time, from its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from textdiff.data.packing import Ids, PackedCorpus, consecutive_windows, keyed_generator
from textdiff.data.tasks import Flags, GapMaker
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingLoader:
    """Samples for training. Sample `number` depends on (seed, number) alone: batch size and processes change nothing.

    Attributes:
        corpus: where windows come from.
        vocabulary: specials in the text are given, never scored.
        tasks: how a window becomes a sample; one is drawn per sample in proportion to its share.
        condition_dropout: how often all that is given is hidden from the network, for guidance later.
        joins: Bool [V], the tokens that go on with a word, or None (see `word_joins`).
    """

    corpus: PackedCorpus
    vocabulary: Vocabulary
    tasks: tuple[GapMaker, ...]
    condition_dropout: float = 0.0
    joins: Flags | None = None

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
        return Canvas(ids, frozen, torch.ones_like(frozen), seeds, hidden, blank if bool(blank.any()) else None)

    def _sample(self, number: int) -> _Sample:
        generator = keyed_generator(self.corpus.seed, 2**63 + number)  # never the key of an epoch
        seed = int(generator.integers(2**63))
        hidden = bool(generator.random() < self.condition_dropout)
        shares = np.array([task.share for task in self.tasks])
        task = self.tasks[int(generator.choice(len(self.tasks), p=shares / shares.sum()))]
        ids, given = task.make(self.corpus.window(number), self.vocabulary, generator, self.joins)
        return _Sample(ids, given, hidden, task.blank, seed)


class _Sample(NamedTuple):
    """A row of a batch: ids [L], which are given [L], and whether these are hidden and all the others noise."""

    ids: Ids
    given: Flags
    hidden: bool
    blank: bool
    seed: int


def evaluation_batches(
    ids: Ids, length: int, rows: int, vocabulary: Vocabulary, seed: int, limit: int | None = None
) -> Iterator[Canvas]:
    """All of a text in consecutive windows, every writable token free; the last window may be shorter.

    Args:
        ids: the text.
        length: tokens of a window.
        rows: windows of a batch.
        vocabulary: of the model.
        seed: window i is seeded with (seed, i).
        limit: the number of windows, spread evenly over the text; all by default.
    """
    windows = consecutive_windows(ids, length)
    chosen: Sequence[int] = range(len(windows))
    if limit is not None and limit < len(windows):
        chosen = np.linspace(0, len(windows) - 1, limit).round().astype(int).tolist()
    writable = vocabulary.writable().numpy()
    for start in range(0, len(chosen), rows):
        part = chosen[start : start + rows]
        rows_of_ids = [windows[i].tolist() for i in part]
        frozen = [(~writable[windows[i]]).tolist() for i in part]
        yield Canvas.of_rows(rows_of_ids, frozen, [seed * 1_000_003 + i for i in part], vocabulary)
