"""How far the reading of large files is, on the terminal that stderr is."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from textdiff.cli.output import is_terminal

PATIENCE = 0.5
"""Seconds of work that no bar is shown for."""
_OFTEN = 0.1


class ReadingMeter:
    """A bar with bytes, their rate and the time left. Where stderr is no terminal it does nothing.

    Inside a `with` it is called with the number of bytes whenever some have been read.
    """

    def __init__(self, name: str, total: int) -> None:
        """Prepares a bar.

        Args:
            name: of the work.
            total: bytes that there are to read.
        """
        self._name, self._total = name, total
        self._watched = is_terminal(sys.stderr)
        self._bar: Any = None
        self._done = 0
        self._next = 0.0

    def __enter__(self) -> ReadingMeter:
        self._next = time.monotonic() + PATIENCE
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, size: int) -> None:
        self._done += size
        if self._watched and time.monotonic() >= self._next:
            if self._bar is None:
                self._bar = _bar(self._name, self._total)
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=self._done)
            self._next = time.monotonic() + _OFTEN


def _bar(name: str, total: int) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=False, transient=True)
    bar.add_task(name, total=max(total, 1))
    return bar
