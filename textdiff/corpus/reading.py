"""The documents of many files, as a stream."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from textdiff.corpus.detokenizing import Detokenizer, detokenized
from textdiff.corpus.events import Event, Piece, Problem, UnreadableError
from textdiff.corpus.opening import open_utf8, require_file
from textdiff.corpus.options import ReadOptions, Unit
from textdiff.corpus.tables import csv_rows, json_file, json_lines, parquet_rows
from textdiff.corpus.texts import documents_of
from textdiff.errors import DataError
from textdiff.files import system_words

_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


OnBytes = Callable[[int], None]


def _unwatched(size: int) -> None:
    """Nobody asks how far a file has been read."""


def events_of(path: Path, options: ReadOptions, on_bytes: OnBytes = _unwatched) -> Iterator[Event]:
    """All that a file gives: its documents, and what is wrong with it; see `read_corpus` for `on_bytes`."""
    documents = wrong = 0
    try:
        require_file(path)
        events = _read(path, options, on_bytes)
        for event in events if options.detokenize is None else detokenized(events, options.detokenize):
            if isinstance(event, Piece):
                documents += event.last
            else:
                wrong += not event.note
            yield event
    except UnreadableError as error:
        wrong += 1
        yield Problem(error.kind, str(error))
    except _BROKEN as error:
        wrong += 1
        yield Problem("unreadable", f"{path} cannot be read: {system_words(error)}")
    if not documents and not wrong:
        empty = path.stat().st_size == 0
        what = "is empty" if empty else "holds no text: there is nothing but blanks in it"
        yield Problem("empty", f"{path} {what}; leave it out")


def _read(path: Path, options: ReadOptions, on_bytes: OnBytes) -> Iterator[Event]:
    kind = Path(path.stem).suffix if path.suffix in (".gz", ".xz") else path.suffix
    if kind == ".parquet":
        yield from parquet_rows(path, options.column, on_bytes)
        return
    with open_utf8(path, options.encoding, on_bytes) as opened:
        if kind == ".jsonl":
            yield from json_lines(opened, options.column)
        elif kind == ".json":
            yield from json_file(opened, options.column)
        elif kind == ".csv":
            yield from csv_rows(opened, options.column)
        else:
            yield from documents_of(opened, options.unit)


def read_corpus(
    paths: Sequence[str | Path],
    options: ReadOptions | None = None,
    skip_bad: bool | int = False,
    on_skip: Callable[[Problem], None] = lambda problem: None,
    on_bytes: OnBytes = _unwatched,
) -> Iterator[Piece]:
    """Yields the documents of some files, in order and in pieces of about a million characters.

    Args:
        paths: text files (also `.gz`, `.xz`), or tables (`.jsonl`, `.json`, `.csv`, also packed; `.parquet`).
        options: how they are read.
        skip_bad: whether rows of tables, and lines where the unit is the line, that cannot be used are left out; a number is
            how many at most.
        on_skip: called with what is wrong with each of these.
        on_bytes: called with the number of bytes whenever some of a file are read, packed ones as they are.

    Raises:
        DataError: a file cannot be used: with file:line, or the byte's offset, and what to do.
    """
    if not paths:
        raise DataError("no data files were given; set data.train to a file or a list of files")
    skipped = 0
    for path in map(Path, paths):
        documents = 0
        problem: Problem | None = None
        for event in events_of(path, options or ReadOptions(), on_bytes):
            if isinstance(event, Piece):
                documents += event.last
                yield event
            elif not event.note:
                problem = event
                if not event.of_row or skip_bad is False:
                    raise DataError(event.message)
                skipped += 1
                if skip_bad is not True and skipped > skip_bad:
                    raise DataError(f"{event.message} (bad rows so far: {skipped}; skip_bad allows {skip_bad})")
                on_skip(event)
        if not documents and problem is not None:
            raise DataError(f"{path} holds no text that can be used; the last of its bad rows: {problem.message}")


def load_corpus(
    paths: Sequence[str | Path],
    unit: Unit = "file",
    column: str = "text",
    encoding: str = "utf-8",
    skip_bad: bool | int = False,
    detokenize: Detokenizer | None = None,
) -> Iterator[str]:
    """Yields the documents of some files whole; see `read_corpus`."""
    parts: list[str] = []
    for piece in read_corpus(paths, ReadOptions(unit, column, encoding, detokenize), skip_bad):
        parts.append(piece.text)
        if piece.last:
            yield parts[0] if len(parts) == 1 else "".join(parts)
            parts = []
