"""Where words and sentences stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

Span = tuple[int, int]

_RUN = re.compile(r"\S+")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|\Z)")
_NEXT = re.compile(r"\s*")
_ABBREVIATION = re.compile(
    r"\b(?:[A-HJ-Za-z]|Mr|Mrs|Ms|Messrs|Mme|Mlle|Dr|St|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Esq|Jr|Sr|vol|cf|vs|viz|etc)\.\Z"
)


def words_at(text: str, start: int, count: int) -> Span | None:
    """`count` words on one line, the first one the first that begins at or after `start`.

    Words are parted by one space each. Marks before the first and behind the last word (commas, quotes, brackets) are
    left out, so that the span begins and ends with a letter or a digit.

    Returns:
        The span, or None where no such words stand there.
    """
    if start > 0 and not text[start - 1].isspace():
        end = _RUN.match(text, start)
        start = end.end() if end else start
    runs = list(islice(_RUN.finditer(text, start), count))
    if len(runs) < count or any(text[a.end() : b.start()] != " " for a, b in pairwise(runs)):
        return None
    first, last = runs[0], runs[-1]
    begin, stop = first.start(), last.end()
    while begin < first.end() and not text[begin].isalnum():
        begin += 1
    while stop > last.start() and not text[stop - 1].isalnum():
        stop -= 1
    return (begin, stop) if begin < first.end() and stop > last.start() else None


def sentences_of(line: str) -> Iterator[Span]:
    """The sentences of a line, as a reader without a grammar sees them.

    A sentence ends with . ! ? or … and any closing quotes and brackets, before whitespace or the line's end; a full stop
    behind an abbreviation or a single letter ends none, and neither does a mark that a small letter follows. What stands
    behind the last end is no sentence.
    """
    start = _next(line, 0)
    for end in _END.finditer(line):
        following = _next(line, end.end())
        if line[following : following + 1].islower() or _ABBREVIATION.search(line, start, end.end()):
            continue
        yield start, end.end()
        start = following


def _next(line: str, start: int) -> int:
    """Where the whitespace at `start` ends."""
    found = _NEXT.match(line, start)
    return found.end() if found else start


def sentence_at(text: str, start: int, low: int, high: int) -> Span | None:
    """The first sentence of low to high words that begins at or after `start` on its line, or None."""
    begin = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start)
    line = text[begin : len(text) if end < 0 else end]
    for a, b in sentences_of(line):
        if begin + a >= start and low <= len(line[a:b].split()) <= high and "  " not in line[a:b]:
            return begin + a, begin + b
    return None
