"""What is wrong with a corpus, all of it, before hours are spent."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textdiff.corpus.chunks import LONGEST
from textdiff.corpus.events import Piece, Problem
from textdiff.corpus.options import ReadOptions
from textdiff.corpus.reading import events_of
from textdiff.files import unusable

EXAMPLES = 3
"""Places that are named for each kind of finding; all others are counted."""

_MOST_HASHES = 100_000_000


@dataclass
class Finding:
    """One kind of finding in a file: how often, and the sentences of the first ones."""

    kind: str
    level: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.count += problem.count
        if len(self.examples) < EXAMPLES:
            self.examples.append(problem.message)

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "level": self.level, "count": self.count, "examples": self.examples}


@dataclass
class FileReport:
    """What is in a file.

    Attributes:
        path: the file.
        size: bytes on disk, packed ones as they are.
        documents, characters: all that can be used.
        longest: characters of the longest document.
        findings: by kind.
    """

    path: Path
    size: int = 0
    documents: int = 0
    characters: int = 0
    longest: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return sum(found.count for found in self.findings.values() if found.level == "error")

    def add(self, problem: Problem) -> None:
        level = "note" if problem.note else "error"
        self.findings.setdefault(problem.kind, Finding(problem.kind, level)).add(problem)

    def plain(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "bytes": self.size,
            "documents": self.documents,
            "characters": self.characters,
            "longest": self.longest,
            "findings": [found.plain() for found in self.findings.values()],
        }


@dataclass(frozen=True)
class CorpusReport:
    """What is in some files.

    Attributes:
        files: one report each.
        findings: what concerns several of them.
    """

    files: tuple[FileReport, ...]
    findings: tuple[Finding, ...]

    @property
    def unusable(self) -> list[FileReport]:
        """The files that training would refuse."""
        return [file for file in self.files if file.errors]


def check_corpus(
    paths: Sequence[str | Path],
    options: ReadOptions | None = None,
    on_bytes: Callable[[int], None] = lambda size: None,
) -> CorpusReport:
    """Reads files to their ends and reports on them. Holds a block of text, and 8 bytes for every document.

    Args:
        options: how they are read.
        on_bytes: see `read_corpus`.
    """
    seen = _Seen()
    files = tuple(_check_file(Path(path), options or ReadOptions(), seen, on_bytes) for path in paths)
    found = seen.repeated(files)
    return CorpusReport(files, () if found is None else (found,))


def size_of(path: Path) -> int:
    """The bytes of a file, 0 where there is none."""
    return 0 if unusable(path) or not path.is_file() else path.stat().st_size


def _check_file(path: Path, options: ReadOptions, seen: _Seen, on_bytes: Callable[[int], None]) -> FileReport:
    report = FileReport(path, size_of(path))
    digest, length, run = hashlib.blake2b(digest_size=8), 0, 0
    for event in events_of(path, options, on_bytes):
        if isinstance(event, Problem):
            report.add(event)
            continue
        digest.update(event.text.encode())
        length += len(event.text)
        run = _note_long_lines(report, event, run)
        if event.last:
            report.documents += 1
            report.characters += length
            report.longest = max(report.longest, length)
            seen.add(digest.digest())
            digest, length, run = hashlib.blake2b(digest_size=8), 0, 0
    return report


def _note_long_lines(report: FileReport, piece: Piece, run: int) -> int:
    """Counts a line of more than `LONGEST` characters once; returns the length of the line that goes on."""
    first = piece.text.find("\n")
    whole = run + (len(piece.text) if first < 0 else first)
    if run <= LONGEST < whole:
        message = f"{report.path} has a line of more than {LONGEST:,} characters, which is tokenised in parts"
        report.add(Problem("long_text", message, note=True))
    return whole if first < 0 else len(piece.text) - piece.text.rfind("\n") - 1


class _Seen:
    """The hashes of all documents, in order."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, digest: bytes) -> None:
        if len(self._hashes) < _MOST_HASHES:
            self._hashes.append(int.from_bytes(digest, "little"))

    def repeated(self, files: Sequence[FileReport]) -> Finding | None:
        """The documents that are there already, or None if there are none."""
        import numpy as np  # only here: reading and refusing need none of it

        hashes = np.frombuffer(self._hashes, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        if not len(same):
            return None
        later, earlier = order[same + 1], order[same]
        chosen = np.argsort(later)[:EXAMPLES]
        examples = [f"{_place(files, int(later[i]))} is the same as {_place(files, int(earlier[i]))}" for i in chosen]
        return Finding("duplicate", "note", len(same), examples)


def _place(files: Sequence[FileReport], number: int) -> str:
    for file in files:
        if number < file.documents:
            return f"{file.path}, document {number + 1}" if file.documents > 1 else str(file.path)
        number -= file.documents
    raise IndexError(number)
