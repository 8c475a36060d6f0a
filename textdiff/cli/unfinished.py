"""What is filled of a long document already: a file beside its place, until the document is whole.

The first line says what the fills are for, each other one holds those of a part of the document. A line that a crash cut
stands for parts that were not filled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.errors import DataError
from textdiff.files import append_line, system_words

if TYPE_CHECKING:
    from textdiff.infiller.filling import Fill


class Unfinished:
    """A `Memory` for a single document.

    Attributes:
        recalled: how many gaps were found filled.
    """

    def __init__(self, target: Path, key: str) -> None:
        """Looks for what an earlier run left.

        Args:
            target: where the document will be written.
            key: stands for the document, the model and the options.

        Raises:
            DataError: what was left cannot be read.
        """
        self._path = target.with_name(f".textdiff-unfinished-{target.name}.jsonl")
        self._head = {"key": key}
        self._known: dict[int, list[Fill]] = dict(self._read())
        self._begun = bool(self._known)
        self.recalled = sum(len(fills[0].texts) for fills in self._known.values())

    def recall(self, document: int, part: int) -> list[Fill] | None:
        return self._known.get(part)

    def keep(self, fills: Sequence[tuple[int, int, list[Fill]]]) -> None:
        if not self._begun:
            self.remove()
            append_line(self._path, json.dumps(self._head).encode())
            self._begun = True
        entries = [{"part": part, "fills": [asdict(fill) for fill in found]} for _, part, found in fills]
        append_line(self._path, json.dumps(entries).encode())

    def remove(self) -> None:
        """The document is whole."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{self._path} cannot be removed: {system_words(error)}") from None

    def _read(self) -> Iterator[tuple[int, list[Fill]]]:
        try:
            lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {system_words(error)}") from None
        values = [*_values(lines)]
        if values[:1] == [self._head]:
            for entries in values[1:]:
                with contextlib.suppress(KeyError, TypeError, ValueError):  # not a line of ours
                    yield from [(entry["part"], [_fill(fields) for fields in entry["fills"]]) for entry in entries]


def _values(lines: Sequence[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _fill(fields: dict[str, Any]) -> Fill:
    from textdiff.infiller.drafts import LengthOdds
    from textdiff.infiller.filling import Fill

    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    plain["odds"] = tuple(tuple(LengthOdds(**one) for one in odds) for odds in fields["odds"])
    plain["visible"] = tuple((start, stop) for start, stop in fields["visible"])
    return Fill(**plain)
