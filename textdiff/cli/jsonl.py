r"""Lines of JSON, and one field of a line replaced without touching anything else.

A line is cut into the bytes before the field's text, the text, and the bytes after it. Only the gaps of the text are
replaced: numbers, escapes such as \/ and \u00e9, blanks and the order of keys stay as they are written.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from textdiff.cli.documents import LARGEST
from textdiff.cli.sources import STDIN, Source
from textdiff.errors import DataError
from textdiff.files import system_words

if TYPE_CHECKING:
    from textdiff.text.document import Document

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # numbers of any size are none of our business
_SPACE = re.compile(r"[ \t\r\n]*")
# what stands for one character in a string of JSON
_CHARACTER = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.|[^\\]", re.DOTALL)

Numbered = tuple[int, bytes]
"""A line with its number in the file, from 1."""


@dataclass(frozen=True)
class Line:
    """A line of JSON around the text of its field.

    Attributes:
        before, raw, after: the line, cut at the text's quotation marks.
        text: what `raw` stands for.
    """

    before: str
    raw: str
    after: str
    text: str

    @staticmethod
    def parse(data: bytes, field: str) -> Line:
        """Finds the field's text.

        Raises:
            DataError: the line is not UTF-8 or no JSON object; its field is missing, there twice or no text.
        """
        try:
            line = data.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"byte {error.start} of the line is not UTF-8") from None
        try:
            found = [member[1:] for member in _members(line) if member[0] == field]
        except (ValueError, RecursionError) as error:
            words = f"{error.msg} at column {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"this is no JSON object: {words[:1].lower()}{words[1:]}") from None
        if len(found) != 1:
            raise DataError(f"the object has {'two fields' if found else 'no field'} {field!r}")
        text, start, stop = found[0]
        if line[start] != '"':
            raise DataError(f"the field {field!r} holds {line[start:stop]:.40}, and not a text")
        if re.search("[\ud800-\udfff]", text):
            raise DataError(f"the field {field!r} holds half of a surrogate pair, which is not a character")
        return Line(line[: start + 1], line[start + 1 : stop - 1], line[stop - 1 :], text)

    def fill(self, document: Document, texts: Sequence[str | None]) -> bytes:
        """The line with texts in the gaps of its field's document; None leaves one open."""
        ends = [0, *accumulate(len(found[0]) for found in _CHARACTER.finditer(self.raw))]
        as_ascii = "\\u" in self.raw
        pieces, at = [], 0
        for part, text in document.written(texts):
            stop = at + len(part.markup)
            same = text == part.markup
            pieces.append(self.raw[ends[at] : ends[stop]] if same else json.dumps(text, ensure_ascii=as_ascii)[1:-1])
            at = stop
        return "".join([self.before, *pieces, self.after]).encode()


def read_lines(source: Source) -> Iterator[Numbered]:
    """The lines of a file or of stdin, with their ends."""
    if source.place == STDIN and sys.stdin is None:
        raise DataError("standard input is closed")
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if source.place == STDIN else source.path.open("rb") as file:
            yield from enumerate(_lines(file, source), 1)
    except OSError as error:
        raise DataError(f"{source.name} cannot be read: {system_words(error)}") from None


def _lines(file: BinaryIO, source: Source) -> Iterator[bytes]:
    while line := file.readline(LARGEST + 1):
        if len(line) > LARGEST:
            raise DataError(f"{source.name} has a line of more than the {LARGEST:,} bytes that are read at most")
        yield line


def size_of(line: Numbered) -> int:
    """Bytes of a line."""
    return len(line[1])


def is_blank(line: Numbered) -> bool:
    """Whether nothing is in a line."""
    return not line[1].strip(b" \t\r\n\xef\xbb\xbf")


def _members(line: str) -> Iterator[tuple[str, str, int, int]]:
    """The keys of the one object that a line holds, each with its value (numbers as texts) and where that stands.

    Raises:
        ValueError: it holds something else.
    """
    at = _skip(line, line.startswith("\ufeff"))
    if line[at : at + 1] != "{":
        _refuse("it does not begin with {")
    at = _skip(line, at + 1)
    more = line[at : at + 1] != "}"
    while more:
        if line[at : at + 1] != '"':
            _refuse("a key is missing")
        key, at = _DECODER.raw_decode(line, at)
        at = _skip(line, at)
        if line[at : at + 1] != ":":
            _refuse(f"the key {key!r} has no value")
        start = _skip(line, at + 1)
        value, at = _DECODER.raw_decode(line, start)
        yield key, value, start, at
        at = _skip(line, at)
        more = line[at : at + 1] == ","
        at = _skip(line, at + 1) if more else at
    if line[at : at + 1] != "}":
        _refuse("it does not end with }")
    if _skip(line, at + 1) != len(line):
        _refuse("something stands after it")


def _skip(line: str, at: int) -> int:
    match = _SPACE.match(line, at)
    return match.end() if match else at


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)
