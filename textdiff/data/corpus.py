"""Texts from files: strict about encodings, lazy about memory."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textdiff.errors import DataError

Unit = Literal["file", "blank_line", "line"]

_UNPACKERS = {".gz": gzip.decompress, ".xz": lzma.decompress}
_TABLES = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}


def load_corpus(paths: Sequence[str | Path], unit: Unit = "file", column: str = "text") -> Iterator[str]:
    """Yields the documents of some files, in order.

    Args:
        paths: text files (also `.gz`, `.xz`), or tables (`.jsonl`, `.json`, `.csv`, `.parquet`), which `datasets` reads.
        unit: what a document of a text file is: the whole file, a part between blank lines, or a line.
        column: the column of a table that holds the text.

    Raises:
        DataError: a file is missing, empty, not UTF-8 (with the byte's offset), or lacks the column.
    """
    if not paths:
        raise DataError("no data files were given; set data.train to a file or a list of files")
    for path in map(Path, paths):
        if not path.is_file():
            what = "a folder" if path.is_dir() else "missing"
            raise DataError(f"{path} is {what}; give text files, or .jsonl, .csv or .parquet tables")
        texts = _read_table(path, column) if path.suffix in _TABLES else _split(_read_text(path), unit)
        found = False
        for text in texts:
            if text.strip():
                found = True
                yield text
        if not found:
            raise DataError(f"{path} holds no text")


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        data = _UNPACKERS[path.suffix](data) if path.suffix in _UNPACKERS else data
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}; convert the file to UTF-8 first"
        ) from None


def _split(text: str, unit: Unit) -> Iterator[str]:
    if unit == "file":
        yield text
    elif unit == "line":
        yield from text.splitlines()
    else:
        block: list[str] = []
        for line in text.splitlines(keepends=True):
            if line.strip():
                block.append(line)
            elif block:
                yield "".join(block).rstrip("\r\n")
                block = []
        yield "".join(block).rstrip("\r\n")


def _read_table(path: Path, column: str) -> Iterator[str]:
    import datasets  # takes seconds to import, and plain text needs none of it

    try:
        rows = datasets.load_dataset(_TABLES[path.suffix], data_files=str(path), split="train", streaming=True)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row.get(column), str):
                columns = ", ".join(row) or "none"
                raise DataError(f"{path}, row {number}: the column {column!r} holds no text. Columns: {columns}")
            yield row[column]
    except (datasets.exceptions.DatasetGenerationError, StopIteration, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as {_TABLES[path.suffix]}: {error}") from None
