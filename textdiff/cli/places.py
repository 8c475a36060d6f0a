"""Bytes of a text as places that a person can find."""

from __future__ import annotations

from bisect import bisect_right


class Places:
    """Lines and columns of a text in UTF-8."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = [0]
        while (end := data.find(b"\n", self._starts[-1])) >= 0:
            self._starts.append(end + 1)

    def of(self, offset: int) -> str:
        """ "3:7": line and column of a byte, both from 1, the column in characters."""
        line = bisect_right(self._starts, offset)
        column = len(self._data[self._starts[line - 1] : offset].decode(errors="replace")) + 1
        return f"{line}:{column}"
