"""Pairs of a source and its target, from tables or from two files that go side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from textdiff.corpus.events import Event, Piece, Problem
from textdiff.corpus.lines import Line, lines_of
from textdiff.corpus.opening import open_utf8, require_file
from textdiff.corpus.tables import json_object, row_text
from textdiff.errors import DataError


class Pair(NamedTuple):
    """A source, what it becomes, and where they stand ("FILE:LINE")."""

    source: str
    target: str
    place: str


@dataclass(frozen=True)
class PairOptions:
    """How files become pairs.

    Attributes:
        source_column, target_column: the fields of a line of JSON.
        encoding: of the files; a byte order mark is passed over.
    """

    source_column: str = "source"
    target_column: str = "target"
    encoding: str = "utf-8"


def read_pairs(
    paths: Sequence[str | Path],
    options: PairOptions | None = None,
    skip_bad: bool | int = False,
    on_skip: Callable[[Problem], None] = lambda problem: None,
) -> Iterator[Pair]:
    """Yields the pairs of some files, in order.

    Args:
        paths: files of JSON lines (`.jsonl`, also packed), or text files two at a time: the sources, a line each, and the
            targets in the same lines.
        options: how they are read.
        skip_bad: whether pairs that cannot be used are left out; a number is how many at most.
        on_skip: called with what is wrong with each of these.

    Raises:
        DataError: a file cannot be used, a side of a pair is missing or blank, or two files differ in their lines.
    """
    chosen = options or PairOptions()
    skipped = 0
    for group in _grouped([Path(path) for path in paths]):
        for found in _pairs_of(*group, chosen):
            if isinstance(found, Pair):
                yield found
                continue
            skipped += 1
            if not found.of_row or skip_bad is False:
                raise DataError(found.message)
            if skip_bad is not True and skipped > skip_bad:
                raise DataError(f"{found.message} (bad pairs so far: {skipped}; skip_bad allows {skip_bad})")
            on_skip(found)


def _grouped(paths: Sequence[Path]) -> Iterator[tuple[Path, Path | None]]:
    """Tables alone, text files in twos."""
    if not paths:
        raise DataError(
            "no data files were given; give .jsonl files with pairs, or a file of sources and one of targets"
        )
    waiting: Path | None = None
    for path in paths:
        table = _is_jsonl(path)
        if waiting is None and table:
            yield path, None
        elif waiting is None:
            waiting = path
        elif table:
            break
        else:
            yield waiting, path
            waiting = None
    if waiting is not None:
        raise DataError(
            f"{waiting} has no partner: sources and targets are two text files, one after the other, or a .jsonl"
        )


def _pairs_of(path: Path, partner: Path | None, options: PairOptions) -> Iterator[Pair | Problem]:
    require_file(path)
    if partner is None:
        return _json_pairs(path, options)
    require_file(partner)
    return _parallel(path, partner, options)


def _is_jsonl(path: Path) -> bool:
    return (Path(path.stem).suffix if path.suffix in (".gz", ".xz") else path.suffix) == ".jsonl"


def _json_pairs(path: Path, options: PairOptions) -> Iterator[Pair | Problem]:
    source, target = options.source_column, options.target_column
    with open_utf8(path, options.encoding) as opened:
        for line in _rows(lines_of(opened)):
            if isinstance(line, Problem):
                yield line
            elif line.text.strip():
                place = f"{path}:{line.number}"
                row = json_object(line, place, (source, target))
                if isinstance(row, Problem):
                    yield row
                else:
                    yield _pair(row_text(row, source, place), row_text(row, target, place), place)


def _parallel(sources: Path, targets: Path, options: PairOptions) -> Iterator[Pair | Problem]:
    with open_utf8(sources, options.encoding) as left, open_utf8(targets, options.encoding) as right:
        both = zip_longest(_rows(lines_of(left)), _rows(lines_of(right)))
        for number, (source, target) in enumerate(both, 1):
            if source is None or target is None:
                short = sources if source is None else targets
                yield Problem(
                    "lines", f"{short} ends before line {number}, which its partner has; lines must correspond"
                )
                return
            yield _pair(_text(source, sources), _text(target, targets), f"{sources}:{number}")


def _rows(lines: Iterator[Line | Problem]) -> Iterator[Line | Problem]:
    """Without notes: nothing has to be done about a byte order mark or about CR LF."""
    return (line for line in lines if isinstance(line, Line) or not line.note)


def _text(line: Line | Problem, path: Path) -> Event:
    if isinstance(line, Problem):
        return line
    text = line.text.removesuffix("\n").removesuffix("\r")
    return row_text({"line": text}, "line", f"{path}:{line.number}")


def _pair(source: Event, target: Event, place: str) -> Pair | Problem:
    """Both sides, or what is wrong with one; a blank side is no note here, for a pair needs both."""
    for side in (source, target):
        if isinstance(side, Problem):
            message = f"{place}: a side of the pair is blank; both are needed" if side.note else side.message
            return Problem(side.kind, message, of_row=True)
    assert isinstance(source, Piece) and isinstance(target, Piece)
    return Pair(source.text, target.text, place)
