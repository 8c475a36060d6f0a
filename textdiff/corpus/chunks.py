"""Documents in parts that a tokenizer can take one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from textdiff.corpus.events import Piece

_LINE_START = re.compile(r"(?<=\n)(?=\S)")
_SIZE = 1 << 16
LONGEST = 1 << 20
"""Characters of a part at most. Only a text without a line end for so long is cut elsewhere."""


class Chunk(NamedTuple):
    """A part of a document, and whether it is the document's first and last."""

    text: str
    first: bool
    last: bool


def chunks_of(document: str, size: int = _SIZE) -> list[str]:
    """A document in parts of about `size` characters, cut where a line begins: no tokenizer of ours joins across that.

    A line of more than `LONGEST` characters is cut before a blank, or where there is none, after so many characters.
    """
    return [chunk.text for chunk in stream_chunks([Piece(document, True)], size)]


def stream_chunks(pieces: Iterable[Piece], size: int = _SIZE, longest: int = LONGEST) -> Iterator[Chunk]:
    """The parts of documents that come in pieces: the same ones, wherever the pieces were cut."""
    chunk, carried, first = "", "", True
    for piece in pieces:
        *lines, carried = _LINE_START.split(carried + piece.text) if carried else _LINE_START.split(piece.text)
        if piece.last:
            lines.append(carried)
            carried = ""
        elif len(carried) > longest:
            *cut, carried = _cut(carried, longest)
            lines += cut
        for line in lines:
            for part in _cut(line, longest):
                if chunk and len(chunk) + len(part) > size:
                    yield Chunk(chunk, first, False)
                    chunk, first = "", False
                chunk += part
        if piece.last:
            yield Chunk(chunk, first, True)
            chunk, first = "", True


def _cut(line: str, longest: int) -> list[str]:
    """A line in parts of at most so many characters, the first ones cut before a blank if possible."""
    parts = []
    at = 0
    while len(line) - at > longest:
        blank = line.rfind(" ", at + 1, at + longest)
        stop = blank if blank > at else at + longest
        parts.append(line[at:stop])
        at = stop
    return [*parts, line[at:]]
