"""How far a long run is, on the terminal that stderr is."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from textdiff.cli.output import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from textdiff.infiller.writing import Progress
    from textdiff.text.layout import Layout


class Meter:
    """A bar with documents, gaps, their rate and the time left. Where stderr is no terminal it does nothing."""

    def __init__(self, total: int, unit: str, shown: bool = True) -> None:
        """Makes a bar.

        Args:
            total: bytes that there are to read.
            unit: what a document is called.
            shown: whether this process is the one that speaks.
        """
        self._bar: Any = _bar(total) if shown and is_terminal(sys.stderr) else None
        self._unit = unit
        self._bytes = self._documents = self._gaps = 0
        self._began = time.monotonic()

    def __enter__(self) -> Meter:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, size: int, documents: int = 0, gaps: int = 0) -> None:
        """So many bytes have been dealt with, and in them so many documents, whose gaps were filled just now."""
        self._bytes += size
        self._documents += documents
        self._gaps += gaps
        self._show()

    def working(self, size: int, gaps: int) -> Callable[[Layout, Progress], None] | None:
        """What `Infiller.infill` calls while it fills so many gaps in so many bytes; None where nobody looks."""
        if self._bar is None:
            return None
        return _GapCounter(lambda count: self._show(size * count // max(gaps, 1), count))

    def _show(self, size: int = 0, gaps: int = 0) -> None:
        """Draws what has been dealt with, and what is in work besides."""
        if self._bar is not None:
            gaps += self._gaps
            rate = gaps / max(time.monotonic() - self._began, 1e-3)
            news = f"{self._documents:,} {self._unit}s, {gaps:,} gaps, {rate:,.1f} gaps/s"
            self._bar.update(self._bar.task_ids[0], completed=self._bytes + size, news=news)


class _GapCounter:
    """Counts the gaps of a call that have no noise any more."""

    def __init__(self, show: Callable[[int], None]) -> None:
        self._show = show
        self._layout: Layout | None = None
        self._before = 0
        self._gaps: dict[int, int] = {}
        self._finished: set[int] = set()

    def __call__(self, layout: Layout, progress: Progress) -> None:
        if layout is not self._layout:
            self._before += sum(self._gaps.values())
            self._layout, self._gaps, self._finished = layout, {}, set()
            for slot in layout.slots:
                self._gaps[slot.row] = self._gaps.get(slot.row, 0) + slot.kept
        rows = progress.rows[~progress.event.noisy.any(-1).cpu()].tolist()
        if not self._finished.issuperset(rows):
            self._finished.update(rows)
            self._show(self._before + sum(self._gaps.get(row, 0) for row in self._finished))


def _bar(total: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.fields[news]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=False, transient=True)
    bar.add_task("infilling", total=max(total, 1), news="")
    return bar
