"""What became of many documents, as one sentence."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from textdiff.cli.output import say
from textdiff.errors import DataError

_SHOWN = 50


@dataclass
class Tally:
    """Counts of one process, or of all.

    Attributes:
        filled: documents whose gaps were filled in this run.
        gaps, left_open: their gaps, and those of them that stayed open.
        untouched: documents without a gap.
        done: documents that an earlier run had filled.
        skipped: lines that were passed on as they are for being wrong.
        failed: documents that could not be filled.
        problems: what was wrong with the first of those, each a sentence that begins with the document's name.
    """

    filled: int = 0
    gaps: int = 0
    left_open: int = 0
    untouched: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @staticmethod
    def total(parts: Iterable[Tally]) -> Tally:
        """The sum over processes, in the time of the first, which speaks for all."""
        parts = [*parts]
        names = ("filled", "gaps", "left_open", "untouched", "done", "skipped", "failed")
        counts = {name: sum(getattr(part, name) for part in parts) for name in names}
        return Tally(**counts, problems=[p for part in parts for p in part.problems], began=parts[0].began)

    @property
    def documents(self) -> int:
        return self.filled + self.untouched + self.done + self.skipped + self.failed

    def fail(self, name: str, error: Exception) -> None:
        """Counts a document that could not be filled."""
        self.failed += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(f"{name}: {error}")

    def sentence(self, unit: str, copied: bool) -> str:
        """Says what was done, how fast, and what was not.

        Args:
            unit: what a document is called, such as "document".
            copied: whether those without a gap were copied.
        """
        seconds = max(time.monotonic() - self.began, 1e-3)
        opened = f" and {self.left_open:,} left open" if self.left_open else ""
        parts = [f"{_count(self.filled, unit)} filled ({_count(self.gaps - self.left_open, 'gap')}{opened})"]
        named = {
            f"without a gap {'copied' if copied else 'left as they are'}": self.untouched,
            "done before": self.done,
            "passed on as they are": self.skipped,
            "failed": self.failed,
        }
        parts += [f"{count:,} {words}" for words, count in named.items() if count]
        return f"{', '.join(parts)}; {seconds:,.1f} s, {self.gaps / seconds:,.1f} gaps/s"

    def finish(self, unit: str, copied: bool) -> None:
        """Says it on stderr.

        Raises:
            DataError: some could not be filled; each is named before.
        """
        for problem in self.problems[:_SHOWN]:
            say(f"textdiff: {problem}")
        more = self.failed - len(self.problems[:_SHOWN])
        if more > 0:
            say(f"textdiff: and {more:,} more")
        say(f"textdiff: {self.sentence(unit, copied)}")
        if self.failed:
            raise DataError(f"{_count(self.failed, unit)} of {self.documents:,} could not be filled")


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"
