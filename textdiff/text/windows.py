"""Documents longer than the context: windows around the gaps, with as much on both sides as fits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """A stretch of a document's tokens.

    Attributes:
        start, stop: the tokens start … stop - 1.
        shown: the gaps that stand in it, whole.
        kept: those of them whose text is taken from this window; the others see more of their surroundings in another.
    """

    start: int
    stop: int
    shown: range
    kept: range


def cut_windows(length: int, gaps: Sequence[tuple[int, int]], context_length: int) -> list[Window]:
    """Cuts a document so that every gap is kept in exactly one window, and no gap is cut.

    Neighbouring gaps share a window while they leave half of it to their surroundings.

    Args:
        length: tokens of the document.
        gaps: (start, stop) of each gap, rising, each at most `context_length` long.
        context_length: tokens that a window can hold.
    """
    if length <= context_length:
        return [Window(0, length, range(len(gaps)), range(len(gaps)))] if gaps else []
    starts, stops = [start for start, _ in gaps], [stop for _, stop in gaps]
    windows = []
    first = 0
    while first < len(gaps):
        last = first + 1
        while last < len(gaps) and stops[last] - starts[first] <= context_length // 2:
            last += 1
        start, stop = _widen(starts[first], stops[last - 1], length, context_length)
        # move the ends out of gaps that they would cut
        before, after = bisect_right(starts, start) - 1, bisect_left(stops, stop)
        if before >= 0 and starts[before] < start < stops[before]:
            start = stops[before]
        if after < len(gaps) and starts[after] < stop < stops[after]:
            stop = starts[after]
        shown = range(bisect_left(starts, start), bisect_right(stops, stop))
        windows.append(Window(start, stop, shown, range(first, last)))
        first = last
    return windows


def _widen(start: int, stop: int, length: int, context_length: int) -> tuple[int, int]:
    """Adds surroundings evenly; what one side has no use for goes to the other."""
    spare = context_length - (stop - start)
    left = min(start, max(spare // 2, spare - (length - stop)))
    return start - left, min(length, stop + spare - left)
