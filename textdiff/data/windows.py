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
    """A text in windows, of which each is seen by itself. Every position is scored in one of them.

    Attributes:
        ids: the text [N]; it may lie in a file.
        length: positions of a window at most.
        ends: how its documents are told apart, where they are not to see each other, or None.
        stride: how far apart windows begin; by default `length`, so that they stand one behind the other. Where it is less
            they slide, and each but the first is scored on its last `stride` positions: at least length - stride stand
            before each of these. Windows of whole documents do not slide.
    """

    ids: npt.NDArray[Any]
    length: int
    ends: DocumentEnds | None = None
    stride: int | None = None

    @property
    def _step(self) -> int:
        return self.stride or self.length

    @cached_property
    def _spans(self) -> npt.NDArray[np.int64] | None:
        return None if self.ends is None else self.ends.spans(self.ids, self.length)

    def __len__(self) -> int:
        if self._spans is not None:
            return len(self._spans)
        return int(len(self.ids) > 0) - (-max(0, len(self.ids) - self.length) // self._step)

    def spread(self, limit: int | None = None) -> Sequence[int]:
        """The numbers of all windows, or of so many, spread evenly over the text."""
        if limit is None or limit >= len(self):
            return range(len(self))
        return [int(number) for number in np.linspace(0, len(self) - 1, limit).round()]

    def __getitem__(self, number: int) -> npt.NDArray[Any]:
        """The text of a window."""
        if self._spans is None:
            return self.ids[number * self._step : number * self._step + self.length]
        start, stop = self._spans[number]
        return self.ids[start:stop]

    def seen(self, number: int) -> int:
        """How many of the first positions of a window were scored in others, and are only seen in this one."""
        return self.length - self._step if number and self._spans is None else 0

    def documents(self, number: int) -> list[npt.NDArray[Any]]:
        """The same, a document at a time where they are separated; what documents share stands in each."""
        return [self[number]] if self.ends is None else self.ends.split(self[number])
