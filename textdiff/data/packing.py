"""Documents to one array of ids, and to the windows that training sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt

from textdiff.errors import DataError
from textdiff.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]

_BATCH = 256


def encode_corpus(texts: Iterable[str], tokenizer: Tokenizer) -> Ids:
    """All documents as one array of ids, each between the tokenizer's document ends."""
    parts: list[Ids] = []
    for batch in _batches(texts):
        chunks = [chunks_of(document) for document in batch]
        first = iter(tokenizer.encode_many([c[0] for c in chunks]))
        rest = iter(tokenizer.encode_many([chunk for c in chunks for chunk in c[1:]], start=False))
        for document in chunks:
            rows = [tokenizer.prefix_ids, next(first), *islice(rest, len(document) - 1)]
            if tokenizer.suffix_ids != tokenizer.prefix_ids:  # else the next document's prefix ends this one
                rows.append(tokenizer.suffix_ids)
            parts += [np.asarray(row, dtype=np.int32) for row in rows]
    parts.append(np.asarray(tokenizer.suffix_ids, dtype=np.int32))
    ids = np.concatenate(parts)
    if len(ids) < 2:
        raise DataError("the corpus holds less than two tokens")
    return ids


def chunks_of(document: str, size: int = 1 << 16) -> list[str]:
    """A document in parts of about `size` characters, cut where a line begins: no tokenizer of ours joins across that."""
    parts = [""]
    for line in re.split(r"(?<=\n)(?=\S)", document):
        if parts[-1] and len(parts[-1]) + len(line) > size:
            parts.append("")
        parts[-1] += line
    return parts


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


@dataclass(frozen=True)
class PackedCorpus:
    """One array of ids, cut into windows of `length` anew in every epoch.

    Window `index` of an epoch depends on (seed, epoch, index) alone. A corpus shorter than a window is one short window.
    """

    ids: Ids
    length: int
    seed: int = 0

    @property
    def windows(self) -> int:
        """Windows of an epoch: the cut moves, so one window's worth of ids is left out."""
        return max(1, (len(self.ids) - 1) // self.length)

    def window(self, number: int) -> Ids:
        """The window with this running number; the epoch is number // windows."""
        epoch, index = divmod(number, self.windows)
        spare = max(0, len(self.ids) - self.windows * self.length)
        offset, order = _epoch(self.seed, epoch, self.windows, spare)
        start = offset + int(order[index]) * self.length
        return self.ids[start : start + self.length]


def consecutive_windows(ids: Ids, length: int) -> list[Ids]:
    """All of the ids in order, in windows of `length`; the last one is shorter."""
    return [ids[start : start + length] for start in range(0, len(ids), length)]


@lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, windows: int, spare: int) -> tuple[int, npt.NDArray[np.int64]]:
    """Where the first window of an epoch begins, and the order of its windows."""
    generator = keyed_generator(seed, epoch)
    return int(generator.integers(spare + 1)), generator.permutation(windows)


def keyed_generator(seed: int, number: int) -> np.random.Generator:
    """The generator that belongs to (seed, number)."""
    # An explicit dtype: numpy makes floats of integers that need all 64 bits, and different keys fall together.
    key = np.array([seed & (2**64 - 1), number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
