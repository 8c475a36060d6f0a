"""The syntax of gaps: what marks one, what it may ask for, and what is wrong with one that does not parse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from textdiff.errors import DataError

Unit = Literal["words", "tokens"]

MAX_GAPS = 10_000
SYNTAX = (
    "A gap is written [MASK], [MASK: 5 words], [MASK: 3-8 words], [MASK: 12 tokens] or [MASK#name: 5 words]; "
    "\\[MASK] is literal text."
)
_STANDARD = "[MASK]"
_BODY = re.compile(r"(?:#(?P<name>[^:\]\s]+))?\s*(?::(?P<length>[^\]]*))?")
_LENGTH = re.compile(r"\s*([0-9]{1,6})(?:\s*-\s*([0-9]{1,6}))?\s*([^\W\d_]*)\s*")
_UNITS: dict[str, Unit] = {"": "words", "word": "words", "words": "words", "token": "tokens", "tokens": "tokens"}


@dataclass(frozen=True)
class GapLength:
    """How long a gap's text must be: low to high units, both included."""

    low: int
    high: int
    unit: Unit


@dataclass(frozen=True)
class Gap:
    """A hole in a document.

    Attributes:
        index: its number in the document, from 0.
        name: what the user calls it, or None.
        length: what was asked for, or None where the model chooses.
        markup: as the source writes it.
    """

    index: int
    name: str | None
    length: GapLength | None
    markup: str


def find_gaps(source: str, mask_token: str) -> Iterator[tuple[Gap | None, int, int, list[int]]]:
    """Finds the gaps from left to right.

    Yields:
        (gap, start, stop, escapes): where its markup stands, and where the backslashes of the escaped literals in the
        text before it stand. The last item has no gap and stands for the text that is left.

    Raises:
        DataError: markup that does not parse, or more gaps than `MAX_GAPS`.
    """
    standard = mask_token == _STANDARD
    # "[MASKED]" and "[MASK_2]" are text; "[MASK 5]" is an error rather than a gap that nobody fills
    opener = re.compile(r"(\\?)\[MASK(?!\w)" if standard else rf"(\\?){re.escape(mask_token)}")
    escapes: list[int] = []
    index = position = 0
    while match := opener.search(source, position):
        position = match.end()
        if match[1]:
            escapes.append(match.start())
            continue
        start = match.start()
        if index == MAX_GAPS:
            raise DataError(f"{_at(source, start)}: a document can have at most {MAX_GAPS} gaps")
        if standard:
            gap, position = _parse(source, start, position, index)
        else:
            gap = Gap(index, None, None, mask_token)
        yield gap, start, position, escapes
        index, escapes = index + 1, []
    yield None, len(source), len(source), escapes


def _parse(source: str, start: int, body: int, index: int) -> tuple[Gap, int]:
    """Reads one gap whose opener "[MASK" ends at `body`; returns it and where it ends."""
    close = re.compile(r"[\]\r\n]|\Z").search(source, body)
    end = close.start() if close else len(source)
    if source[end : end + 1] != "]":
        raise DataError(f"{_at(source, start)}: this gap is not closed by ']' on its line. {SYNTAX}")
    match = _BODY.fullmatch(source, body, end)
    if match is None:
        raise DataError(f"{_at(source, start)}: {source[start : end + 1]!r} is not a gap. {SYNTAX}")
    try:
        length = None if match["length"] is None else _parse_length(match["length"])
    except DataError as error:
        raise DataError(f"{_at(source, start)}: {error}") from None
    return Gap(index, match["name"], length, source[start : end + 1]), end + 1


def _parse_length(text: str) -> GapLength:
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise DataError(f"{text.strip()[:60]!r} is not a length of a gap. {SYNTAX}")
    low, high, unit = int(match[1]), int(match[2] or match[1]), match[3]
    if unit not in _UNITS:
        raise DataError(f"the unit of a gap's length must be words or tokens, got {unit!r}. {SYNTAX}")
    if low < 1:
        raise DataError(f"the length of a gap must be at least 1, got {low}")
    if low > high:
        raise DataError(f"the shortest length of a gap, {low}, is above its longest, {high}")
    return GapLength(low, high, _UNITS[unit])


def _at(source: str, position: int) -> str:
    """ "line 3, column 7", both from 1, the column in characters."""
    line_start = source.rfind("\n", 0, position) + 1
    return f"line {source.count(chr(10), 0, position) + 1}, column {position - line_start + 1}"
