"""What a run tells: JSON lines in a file, and one live line on the terminal."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from textdiff.errors import ResourceError
from textdiff.files import system_words


class RunLog:
    """Appends records to `log.jsonl` and shows progress on stderr. Only the main process has one that writes."""

    def __init__(
        self,
        path: Path | None,
        max_steps: int,
        start: int,
        on_record: Callable[[str, Mapping[str, Any]], None] = lambda kind, values: None,
        must_write: bool = True,
    ) -> None:
        """Opens the log.

        Args:
            path: of the log, or None for one that writes nothing.
            max_steps, start: where the run ends and where it begins.
            on_record: called with every record: what it is about, and its values.
            must_write: whether a log that cannot be written is an error; else it is said once, and no more.
        """
        self._on_record, self._must_write, self._complained = on_record, must_write, False
        self._file = None if path is None else path.open("a", encoding="utf8")
        self._console = Console(stderr=True, quiet=path is None)
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[news]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._progress.add_task("training", total=max_steps, completed=start, news="")
        self._began = time.monotonic()
        self._news = ""

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._file is not None:
            with contextlib.suppress(OSError):  # every record was flushed; what could not be was said then
                self._file.close()

    def step(self, step: int, news: str | None = None) -> None:
        """Moves the bar."""
        self._news = self._news if news is None else news
        self._progress.update(self._task, completed=step, news=self._news)

    def record(self, kind: str, **values: Any) -> None:
        """Writes one line of the log. Numbers that are not finite become null, as JSON knows no others."""
        if self._file is None:
            return
        values = {"seconds": round(time.monotonic() - self._began, 3), **values}
        plain = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        try:
            self._file.write(json.dumps({"event": kind, **plain}) + "\n")
            self._file.flush()
        except OSError as error:
            self._failed(f"{self._file.name} cannot be written: {system_words(error)}")
        self._on_record(kind, values)

    def _failed(self, problem: str) -> None:
        if self._must_write:
            raise ResourceError(problem)
        if not self._complained:
            self.say(f"{problem}; training goes on")
        self._complained = True

    def say(self, message: str) -> None:
        """Tells the person something, on stderr."""
        self._progress.console.print(message, highlight=False, markup=False, soft_wrap=True)
