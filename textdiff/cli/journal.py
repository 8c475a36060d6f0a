"""The journal of a run over many documents: what it wrote where, so that nothing is done twice or overwritten.

One line of JSON a document, appended and synced before the document takes its place:

    {"path": "letters/ann.md", "key": "<sha256>", "output": "<sha256>"}

The key stands for the source's bytes, the options and the model; the output for the bytes that were written. After a
crash at any point each file is either known to be from here, or was never touched.
"""

from __future__ import annotations

import json
from pathlib import Path

from textdiff.errors import DataError
from textdiff.files import append_line, system_words

STEM = ".textdiff-infill"


class Journal:
    """What runs wrote in a folder. Each process of a run appends to a file of its own, and reads all of them."""

    def __init__(self, folder: Path, rank: int) -> None:
        """Raises a DataError if the folder cannot be read."""
        self._folder = folder
        self._path = folder / (f"{STEM}-{rank}.jsonl" if rank else f"{STEM}.jsonl")
        self._written: dict[str, set[tuple[str, str]]] = {}
        try:
            for path in self._files():
                for line in path.read_bytes().splitlines():
                    self._read(line)
        except OSError as error:
            raise DataError(f"the journal in {folder} cannot be read: {system_words(error)}") from None

    def is_done(self, place: str, key: str, output: str) -> bool:
        """Whether these bytes were written there for that key."""
        return (key, output) in self._written.get(place, ())

    def is_ours(self, place: str, output: str) -> bool:
        """Whether these bytes were written there by some run."""
        return any(output == known for _, known in self._written.get(place, ()))

    def note(self, place: str, key: str, output: str) -> None:
        """Records what is about to be written.

        Raises:
            DataError: the journal cannot be written.
            ResourceError: the disk is full.
        """
        append_line(self._path, json.dumps({"path": place, "key": key, "output": output}).encode())
        self._written.setdefault(place, set()).add((key, output))

    def remove(self) -> None:
        """Removes the journal of a run that is over and leaves no trace."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{STEM}*.jsonl"))

    def _read(self, line: bytes) -> None:
        """A line that is not whole stands for a document that was not written."""
        try:
            entry = json.loads(line)
            place, key, output = (str(entry[name]) for name in ("path", "key", "output"))
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self._written.setdefault(place, set()).add((key, output))
