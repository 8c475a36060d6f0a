"""Documents to one array of ids, and to the windows that training sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from textdiff.corpus import Chunk, Piece, stream_chunks
from textdiff.errors import DataError
from textdiff.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]


_BATCH_CHARACTERS = 1 << 20
_BATCH_CHUNKS = 1 << 12


def encode_corpus(texts: Iterable[str], tokenizer: Tokenizer) -> Ids:
    """All documents as one array of ids, each between the tokenizer's document ends."""
    return encode_pieces((Piece(text, True) for text in texts), tokenizer)


def encode_pieces(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Ids:
    """The same of documents in pieces, as `read_corpus` gives them.

    Raises:
        DataError: there are less than two tokens.
    """
    ids = np.concatenate([*encode_stream(pieces, tokenizer)])
    if len(ids) < 2:
        raise DataError("the corpus holds less than two tokens")
    return ids


def encode_stream(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[Ids]:
    """The same, an array at a time: what is held does not grow with the text."""
    prefix, suffix = tokenizer.prefix_ids, tokenizer.suffix_ids
    for batch in _batches(stream_chunks(pieces)):
        first = iter(tokenizer.encode_many([chunk.text for chunk in batch if chunk.first]))
        rest = iter(tokenizer.encode_many([chunk.text for chunk in batch if not chunk.first], start=False))
        rows: list[list[int]] = []
        for chunk in batch:
            rows += [prefix, next(first)] if chunk.first else [next(rest)]
            if chunk.last and suffix != prefix:  # else the next document's prefix ends this one
                rows.append(suffix)
        yield np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
    yield np.asarray(suffix, dtype=np.int32)


def _batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks that are encoded together: as many as are worth it, and no more than fit in little memory."""
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        batch.append(chunk)
        size += len(chunk.text)
        if size >= _BATCH_CHARACTERS or len(batch) >= _BATCH_CHUNKS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class PackedCorpus:
    """One array of ids, cut into windows of `length` anew in every epoch.

    Window `index` of an epoch depends on (seed, epoch, index) alone. A corpus shorter than a window is one short window.
    The ids may lie in a file (`np.memmap`, also of 16 bits): in memory are then 4 bytes for every window, its place in
    the order.
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
        offset, order = epoch_order(self.seed, epoch, self.windows, spare)
        start = offset + int(order[index]) * self.length
        return np.asarray(self.ids[start : start + self.length], dtype=np.int32)


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, windows: int, spare: int) -> tuple[int, npt.NDArray[Any]]:
    """Where the first window of an epoch begins, and the order of its windows."""
    generator = keyed_generator(seed, epoch)
    offset = int(generator.integers(spare + 1))
    # the draws are those of `permutation(windows)`, whose order has 8 bytes a window
    order: npt.NDArray[Any] = np.arange(windows, dtype=np.int32 if windows < 2**31 else np.int64)
    generator.shuffle(order)
    return offset, order


def keyed_generator(seed: int, number: int) -> np.random.Generator:
    """The generator that belongs to (seed, number)."""
    # An explicit dtype: numpy makes floats of integers that need all 64 bits, and different keys fall together.
    key = np.array([seed & (2**64 - 1), number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
