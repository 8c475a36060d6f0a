"""A text in the windows that it is scored in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from textdiff.data.documents import DocumentEnds


@dataclass(frozen=True)
class Windows:
    """A text in windows, one behind the other, of which each is seen by itself.

    Attributes:
        ids: the text [N]; it may lie in a file.
        length: positions of a window at most.
        ends: how its documents are told apart, where they are not to see each other, or None.
    """

    ids: npt.NDArray[Any]
    length: int
    ends: DocumentEnds | None = None

    @cached_property
    def _spans(self) -> npt.NDArray[np.int64] | None:
        return None if self.ends is None else self.ends.spans(self.ids, self.length)

    def __len__(self) -> int:
        return -(-len(self.ids) // self.length) if self._spans is None else len(self._spans)

    def spread(self, limit: int | None = None) -> Sequence[int]:
        """The numbers of all windows, or of so many, spread evenly over the text."""
        if limit is None or limit >= len(self):
            return range(len(self))
        return [int(number) for number in np.linspace(0, len(self) - 1, limit).round()]

    def __getitem__(self, number: int) -> npt.NDArray[Any]:
        """The text of a window."""
        if self._spans is None:
            return self.ids[number * self.length : (number + 1) * self.length]
        start, stop = self._spans[number]
        return self.ids[start:stop]

    def documents(self, number: int) -> list[npt.NDArray[Any]]:
        """The same, a document at a time where they are separated; what documents share stands in each."""
        return [self[number]] if self.ends is None else self.ends.split(self[number])
