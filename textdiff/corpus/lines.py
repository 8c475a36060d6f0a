"""The lines of a file, none of them held if it is too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textdiff.corpus.events import Problem
from textdiff.corpus.opening import BLOCK, Opened, not_utf8
from textdiff.corpus.options import LONGEST_LINE


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, its number from 1, and whether the file goes on or at least ends with a line end."""

    number: int
    text: str
    ended: bool


def lines_of(opened: Opened) -> Iterator[Line | Problem]:
    """The lines of a file and, in place of each that cannot be read, what is wrong with it; last come notes."""
    number, offset, crlf = 0, opened.bom, 0
    if opened.bom:
        yield bom_note(opened)
    while data := opened.file.readline(LONGEST_LINE + 1):
        number += 1
        size = len(data)
        if size > LONGEST_LINE:
            size += _pass_over(opened)
            yield Problem(
                "long_line",
                f"{opened.name}:{number}: the line has {size:,} bytes, and at most {LONGEST_LINE:,} are read; break it up",
                of_row=True,
            )
        else:
            crlf += data.endswith(b"\r\n")
            yield _line(opened, number, offset, data)
        offset += size
    if crlf:
        yield crlf_note(opened, crlf)


def _line(opened: Opened, number: int, offset: int, data: bytes) -> Line | Problem:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return not_utf8(opened, data, error.start, offset + error.start, number, of_row=True)
    if "\0" in text:
        at = offset + data.index(0)
        message = f"{opened.name}:{number}: there is a NUL byte at offset {at}; text holds none, so remove it"
        return Problem("nul", message, of_row=True, count=data.count(0))
    return Line(number, text, text.endswith("\n"))


def _pass_over(opened: Opened) -> int:
    """Reads to the end of a line in blocks; returns the bytes."""
    size = 0
    while data := opened.file.readline(BLOCK):
        size += len(data)
        if data.endswith(b"\n"):
            break
    return size


def bom_note(opened: Opened) -> Problem:
    return Problem("bom", f"{opened.name} begins with a byte order mark, which is passed over", note=True)


def crlf_note(opened: Opened, count: int) -> Problem:
    return Problem("crlf", f"{opened.name} has lines that end in CR LF", note=True, count=count)
