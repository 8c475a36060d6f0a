"""Documents of plain text files."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from textdiff.corpus.events import Event, Piece, Problem, UnreadableError
from textdiff.corpus.guessing import wide_encoding
from textdiff.corpus.lines import Line, bom_note, crlf_note, lines_of
from textdiff.corpus.opening import BLOCK, Opened, not_utf8
from textdiff.corpus.options import Unit


def documents_of(opened: Opened, unit: Unit) -> Iterator[Event]:
    """The documents of a text; those that are blank are left out."""
    if unit == "file":
        yield from _whole(opened)
    elif unit == "line":
        for found in lines_of(opened):
            if isinstance(found, Problem):
                yield found
            elif found.text.strip():
                yield Piece(found.text.removesuffix("\n").removesuffix("\r"), True)
    else:
        yield from _blocks(opened)


def _whole(opened: Opened) -> Iterator[Event]:
    """One document in pieces; it is held back until something other than blanks has come."""
    if opened.bom:
        yield bom_note(opened)
    held: list[str] = []
    begun = False
    crlf = 0
    for event in _decoded(opened):
        if isinstance(event, Problem):
            yield event
            continue
        # CR LF is counted within blocks: one that a block cuts in two is worth no bookkeeping
        crlf += event.count("\r\n")
        if held and begun:
            yield Piece(held.pop(), False)
        held.append(event)
        if not begun and event.strip():
            begun, held = True, ["".join(held)]
    if begun:
        yield Piece("".join(held), True)
    if crlf:
        yield crlf_note(opened, crlf)


def _decoded(opened: Opened) -> Iterator[str | Problem]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = opened.bom, 1
    data = opened.file.read(BLOCK)
    while True:
        pending = decoder.getstate()[0]
        if 0 in data:
            yield _nul(opened, data, offset, line)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            both = pending + data
            place = offset - len(pending) + error.start
            yield not_utf8(opened, both, error.start, place, line + both.count(b"\n", 0, error.start))
            return
        if text:
            yield text
        if not data:
            return
        offset, line = offset + len(data), line + data.count(b"\n")
        data = opened.file.read(BLOCK)


def _nul(opened: Opened, data: bytes, offset: int, line: int) -> Problem:
    at = data.index(0)
    what = f"{opened.name} holds a NUL byte at offset {offset + at} (line {line + data.count(10, 0, at)})"
    wide = wide_encoding(opened.head)
    if wide is not None:
        raise UnreadableError(
            "encoding",
            f"{what}; it may be {wide}: convert it to UTF-8, "
            f"or give its encoding (--encoding {wide}, or data.encoding in a recipe)",
        )
    return Problem("nul", f"{what}; text holds none, so remove it", count=data.count(0))


def _blocks(opened: Opened) -> Iterator[Event]:
    """The parts between blank lines, a line a piece; the last line of a part is held back for its end to be cut off."""
    held: str | None = None
    for found in lines_of(opened):
        if isinstance(found, Problem):
            # a block that lacks a line is another text: no line of it may be left out
            yield found if found.note else Problem(found.kind, found.message, count=found.count)
        elif isinstance(found, Line) and found.text.strip():
            if held is not None:
                yield Piece(held, False)
            held = found.text
        elif held is not None:
            yield Piece(held.rstrip("\r\n"), True)
            held = None
    if held is not None:
        yield Piece(held.rstrip("\r\n"), True)
