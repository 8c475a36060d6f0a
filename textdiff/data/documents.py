"""The documents of a stream of ids, told apart by the ids that stand between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from textdiff.errors import ConfigError
from textdiff.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]

_LOOK = 4096
"""Ids that are read at first on either side of a place where the text is to be parted."""


@dataclass(frozen=True)
class DocumentEnds:
    """How documents are told apart in a stream that `encode_stream` made. No text can hold the ids that stand between them.

    Attributes:
        mark: an id that stands once between two documents.
        place: what it is: the `begin` of a document, its `end`, or `both`, the end of one and the begin of the next.
    """

    mark: int
    place: Literal["begin", "end", "both"]

    @staticmethod
    def of(tokenizer: Tokenizer) -> DocumentEnds:
        """Those of a tokenizer's documents.

        Raises:
            ConfigError: it puts nothing between documents that would tell them apart.
        """
        prefix, suffix = tokenizer.prefix_ids, tokenizer.suffix_ids
        special = set(tokenizer.vocabulary.special_ids)
        if prefix == suffix and len(prefix) == 1 and prefix[0] in special:
            return DocumentEnds(prefix[0], "both")
        ends = [*prefix, *suffix]
        if prefix and prefix[0] in special and ends.count(prefix[0]) == 1:
            return DocumentEnds(prefix[0], "begin")
        if suffix and suffix[-1] in special and ends.count(suffix[-1]) == 1:
            return DocumentEnds(suffix[-1], "end")
        raise ConfigError(
            "separate_documents: this tokenizer does not mark where a document ends and the next one begins"
        )

    def split(self, ids: Ids) -> list[Ids]:
        """The documents in some ids, in order; the first and the last may lack a part. A shared end stands in both."""
        at = np.flatnonzero(ids == self.mark)
        starts = at + 1 if self.place == "end" else at
        shared = int(self.place == "both")
        starts = starts[(starts > 0) & (starts < len(ids) - shared)]
        edges = [0, *starts.tolist(), len(ids) - shared]
        return [ids[start : stop + shared] for start, stop in itertools.pairwise(edges)]

    def cut(self, ids: npt.NDArray[Any], place: int, low: int, high: int) -> tuple[int, int] | None:
        """Where the text parts nearest to `place`: the first part's stop and the second part's start. None without an end.

        Args:
            ids: the stream; only what lies around `place` is read.
            place: of an id.
            low, high: the second part starts at one of low, …, high - 1; neither part is empty.
        """
        shared, after = int(self.place == "both"), int(self.place == "end")
        low, high = max(low, 1), min(high, len(ids) - shared)
        reach = _LOOK
        while low < high:
            start, stop = max(place - reach, low), min(place + reach, high)
            starts = np.flatnonzero(np.asarray(ids[start - after : stop - after]) == self.mark) + start
            if len(starts):
                found = int(starts[np.abs(starts - place).argmin()])
                return found + shared, found
            if start == low and stop == high:
                break
            reach *= 4
        return None

    def spans(self, ids: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
        """Where windows start and stop [W, 2] that hold whole documents, as many as fit into `length` positions.

        A document that is longer than a window is cut. Neighbours share the end that their documents share.
        """
        return np.fromiter(self._spans(ids, length), dtype=np.dtype((np.int64, 2)))

    def _spans(self, ids: npt.NDArray[Any], length: int) -> Iterator[tuple[int, int]]:
        start = 0
        while start < len(ids):
            # one id more shows whether a document ends with the window
            stop = start + self._fitting(np.asarray(ids[start : start + length + 1]), length)
            yield start, stop
            shared = self.place == "both" and start + 1 < stop < len(ids) and ids[stop - 1] == self.mark
            start = stop - int(shared)

    def _fitting(self, ids: npt.NDArray[Any], length: int) -> int:
        """How many ids make a window of whole documents."""
        at = np.flatnonzero(ids == self.mark)
        at = at[at > 0] if self.place != "end" else at
        stops = at if self.place == "begin" else at + 1
        sizes = stops + np.arange(len(stops)) if self.place == "both" else stops
        if len(ids) <= length:  # the text ends here
            inner = int((at < len(ids) - 1).sum()) if self.place == "both" else 0
            stops, sizes = np.append(stops, len(ids)), np.append(sizes, len(ids) + inner)
        fitting = stops[sizes <= length]
        return int(fitting[-1]) if len(fitting) else min(length, len(ids))
