"""Rows of tables: JSON lines, JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textdiff.corpus.events import Event, Piece, Problem, UnreadableError
from textdiff.corpus.lines import Line, lines_of
from textdiff.corpus.opening import Opened, not_utf8
from textdiff.corpus.options import LONGEST_LINE
from textdiff.errors import nearest

_DECODER = json.JSONDecoder(parse_int=float)  # Python refuses integers of thousands of digits, which are none of ours
_LARGEST_JSON = 1 << 28
_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


def row_text(row: Mapping[str, Any], column: str, place: str) -> Event:
    """The text of a row as a document, or what is wrong with it; a blank text is a note."""
    if column not in row:
        return Problem("no_column", f"{place}: {no_column(column, [*row])}", of_row=True)
    text = row[column]
    if not isinstance(text, str):
        found = _NAMES.get(type(text), f"a value of type {type(text).__name__}")
        return Problem("no_text", f"{place}: the column {column!r} holds {found}, and not a text", of_row=True)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        message = f"{place}: the text holds {half}, half of a surrogate pair, which is not a character; remove it"
        return Problem("surrogate", message, of_row=True)
    if "\0" in text:
        message = f"{place}: the text holds a NUL at character {text.index(chr(0))}; text holds none, so remove it"
        return Problem("nul", message, of_row=True, count=text.count("\0"))
    if not text.strip():
        return Problem("blank_row", f"{place}: the column {column!r} is blank, and the row is left out", note=True)
    return Piece(text, True)


def no_column(column: str, columns: Sequence[str]) -> str:
    """What to say where a column is missing."""
    shown = ", ".join(map(str, columns[:20])) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
    return f"there is no column {column!r}.{nearest(column, columns)} Columns: {shown or 'none'}"


def json_lines(opened: Opened, column: str) -> Iterator[Event]:
    """The rows of a file with one JSON object a line."""
    for line in lines_of(opened):
        if isinstance(line, Problem):
            yield line
        elif line.text.strip():
            yield _json_row(line, f"{opened.name}:{line.number}", column)


def _json_row(line: Line, place: str, column: str) -> Event:
    row = json_object(line, place, (column,))
    return row if isinstance(row, Problem) else row_text(row, column, place)


def json_object(line: Line, place: str, columns: Sequence[str]) -> dict[str, Any] | Problem:
    """The object that a line of JSON holds, or what is wrong with it; `columns` are those that it should have."""
    try:
        row = _DECODER.decode(line.text.strip())
    except (ValueError, RecursionError) as error:
        words = f"{error.msg} at column {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        words = words[:1].lower() + words[1:]
        if not line.ended:
            message = f"{place}: the last line is cut off or no JSON: {words}; restore it, or remove it"
            return Problem("truncated", message, of_row=True)
        return Problem("json", f"{place}: this is no JSON object: {words}", of_row=True)
    if not isinstance(row, dict):
        return Problem("json", f"{place}: {_no_object(row, *columns)}", of_row=True)
    return row


def json_file(opened: Opened, column: str) -> Iterator[Event]:
    """The rows of a file with one list of objects; a file that does not begin with [ has a row a line."""
    start = opened.file.peek(1)[:4096].lstrip() if hasattr(opened.file, "peek") else b""
    if not start.startswith(b"["):
        yield from json_lines(opened, column)
        return
    data = opened.file.read(_LARGEST_JSON + 1)
    if len(data) > _LARGEST_JSON:
        raise UnreadableError(
            "large",
            f"{opened.name} is one JSON list of more than {_LARGEST_JSON:,} bytes, which is held whole; "
            "make it JSON lines (.jsonl), a row a line",
        )
    try:
        rows = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        offset = opened.bom + error.start
        yield not_utf8(opened, data, error.start, offset, data.count(b"\n", 0, error.start) + 1)
        return
    except json.JSONDecodeError as error:
        words = error.msg[:1].lower() + error.msg[1:]
        raise UnreadableError("json", f"{opened.name}:{error.lineno}: {words} at column {error.colno}") from None
    except RecursionError:
        raise UnreadableError("json", f"{opened.name} is nested too deeply") from None
    for number, row in enumerate(rows, 1):
        place = f"{opened.name}, row {number}"
        if isinstance(row, dict):
            yield row_text(row, column, place)
        else:
            yield Problem("json", f"{place}: {_no_object(row, column)}", of_row=True)


def _no_object(row: Any, *columns: str) -> str:
    shown = ", ".join(f'"{column}": "…"' for column in columns)
    return f"expected an object such as {{{shown}}}, found {_NAMES[type(row)]}"


def csv_rows(opened: Opened, column: str) -> Iterator[Event]:
    """The rows of a CSV file whose first line names the columns."""
    if csv.field_size_limit() < LONGEST_LINE:
        csv.field_size_limit(LONGEST_LINE)
    notes: list[Problem] = []
    reader = csv.reader(_csv_lines(opened, notes.append), strict=True)
    header = _csv_header(opened, reader)
    if column not in header:
        separator = next((sign for sign in (";", "\t") if len(header) == 1 and sign in header[0]), None)
        hint = f"; they are parted by {separator!r}, and a comma is needed" if separator else ""
        raise UnreadableError("no_column", f"{opened.name}:1: {no_column(column, header)}{hint}")
    while True:
        place = f"{opened.name}:{reader.line_num + 1}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            yield Problem("csv", f"{place}: this row is no CSV: {error}", of_row=True)
            continue
        if fields is None:
            break
        if fields and len(fields) != len(header):
            message = f"{place}: the row has {len(fields)} fields, and the header has {len(header)}"
            yield Problem("csv", message, of_row=True)
        elif fields:
            yield row_text(dict(zip(header, fields, strict=True)), column, place)
    yield from notes


def _csv_header(opened: Opened, reader: Any) -> list[str]:
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise UnreadableError("csv", f"{opened.name}:1: the header is no CSV: {error}") from None


def _csv_lines(opened: Opened, on_note: Callable[[Problem], None]) -> Iterator[str]:
    """The lines; one that cannot be read ends the file, because a row may go over several."""
    for line in lines_of(opened):
        if isinstance(line, Line):
            yield line.text
        elif line.note:
            on_note(line)
        else:
            raise UnreadableError(line.kind, line.message)


def parquet_rows(path: Path, column: str, on_bytes: Callable[[int], None]) -> Iterator[Event]:
    """The rows of a Parquet file, some at a time; of its bytes each has the same share."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if column not in columns:
                raise UnreadableError("no_column", f"{path}: {no_column(column, columns)}")
            number, told = 0, 0
            size, rows = path.stat().st_size, file.metadata.num_rows
            for batch in file.iter_batches(batch_size=64, columns=[column]):
                for value in batch.column(0):
                    number += 1
                    yield row_text({column: _plain(value)}, column, f"{path}, row {number}")
                on_bytes(size * number // rows - told)
                told = size * number // rows
    except pyarrow.ArrowException as error:
        raise UnreadableError("parquet", f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None


def _plain(value: Any) -> Any:
    """A value of Arrow; numbers and times are told from texts by what they are."""
    try:
        found = value.as_py()
    except UnicodeDecodeError:
        return b""
    return found
