"""Gaps out of band: ranges of a document's bytes, given on a command line or in a JSON file.

{"schema": "textdiff.spans/1",
 "gaps": [{"start_byte": 120, "end_byte": 135, "name": "date", "pattern": "\\\\d{4}-\\\\d\\\\d"},
          {"start_byte": 7, "end_byte": 7, "length": "3-8 words", "must": ["fire"], "forbid": ["water"]},
          {"start_byte": 40, "end_byte": 43, "choices": ["yes", "no"]}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.errors import DataError, UsageError, nearest
from textdiff.files import read_json
from textdiff.text.gaps import MAX_GAPS, Gap, GapLength, parse_length
from textdiff.text.utf8 import cuts_character, decode

SCHEMA = "textdiff.spans/1"

_NUMBER = (int, "a whole number of bytes")
_TEXT = (str, "a text")
_TEXTS = (list, "a list of texts")
_KEYS: dict[str, tuple[type, str]] = {
    "start_byte": _NUMBER,
    "end_byte": _NUMBER,
    "name": _TEXT,
    "length": (str, 'a text such as "3-8 words"'),
    "choices": _TEXTS,
    "pattern": _TEXT,
    "must": _TEXTS,
    "forbid": _TEXTS,
}


@dataclass(frozen=True)
class Span:
    """A gap in the place of the bytes start_byte … end_byte - 1 of a document; an insertion where they are equal.

    The rest is as in `Gap`.
    """

    start_byte: int
    end_byte: int
    name: str | None = None
    length: GapLength | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    must: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        name = "" if self.name is None else f" ({self.name[:60]})"
        return f"the span {self.start_byte}:{self.end_byte}{name}"


def cut(data: bytes, spans: Sequence[Span]) -> Iterator[tuple[Gap, int, int]]:
    """The gaps that stand at the spans, from left to right, and where.

    Raises:
        DataError: a span is reversed, overlaps another, leaves the data, cuts a character, or asks for what no gap can
            ask for; a name is taken; there are more than `MAX_GAPS`.
    """
    if len(spans) > MAX_GAPS:
        raise DataError(f"a document can have at most {MAX_GAPS} gaps, got {len(spans)} spans")
    for span in spans:
        _check(data, span)
    names: dict[str, Span] = {}
    before: Span | None = None
    for index, span in enumerate(sorted(spans, key=lambda span: (span.start_byte, span.end_byte))):
        start, end = span.start_byte, span.end_byte
        if before and (start < before.end_byte or (start, end) == (before.start_byte, before.end_byte)):
            raise DataError(f"{span.label} overlaps {before.label}")
        if span.name is not None and names.setdefault(span.name, span) is not span:
            raise DataError(f"{span.label} has the name {span.name!r}, which {names[span.name].label} has too")
        markup = decode(data, start, end)
        try:
            gap = Gap(index, span.name, span.length, markup, span.choices, span.pattern, span.must, span.forbid)
        except DataError as error:
            raise DataError(f"{span.label}: {error}") from None
        yield gap, start, end
        before = span


def _check(data: bytes, span: Span) -> None:
    if span.start_byte > span.end_byte:
        raise DataError(f"{span.label} ends before it starts")
    if span.start_byte < 0 or span.end_byte > len(data):
        raise DataError(f"{span.label} leaves the document, which has {len(data)} bytes")
    for offset in (span.start_byte, span.end_byte):
        if cuts_character(data, offset):
            raise DataError(f"{span.label} cuts a character in two: byte {offset} is inside one")


def parse_span(text: str) -> Span:
    """The span that "120:135" stands for: bytes 120 … 134.

    Raises:
        UsageError: it is not written so.
    """
    match = re.fullmatch(r"\s*([0-9]{1,18})\s*:\s*([0-9]{1,18})\s*", text, re.ASCII)
    if match is None:
        raise UsageError(f"a span is written START:END, two numbers of bytes such as 120:135, got {text[:60]!r}")
    return Span(int(match[1]), int(match[2]))


def load_spans(path: str | Path) -> list[Span]:
    """The spans in a JSON file.

    Raises:
        DataError: with the file and the entry: it cannot be read, a key is unknown, missing or of the wrong type.
    """
    return spans_of(read_json(path, error=DataError), str(path))


def spans_of(value: Any, source: str = "spans") -> list[Span]:
    """The spans that plain data stands for, as the JSON file has it.

    Args:
        source: what error messages call the data.

    Raises:
        DataError: a key is unknown, missing or of the wrong type.
    """
    if not isinstance(value, dict):
        raise DataError(f'{source}: expected {{"schema": "{SCHEMA}", "gaps": […]}}, got {_words(value)}')
    _require_keys(value, ("schema", "gaps"), ("schema", "gaps"), source)
    if value["schema"] != SCHEMA:
        raise DataError(f"{source}: the schema must be {SCHEMA!r}, got {_words(value['schema'])}")
    if not isinstance(value["gaps"], list):
        raise DataError(f"{source}: gaps must be a list, got {_words(value['gaps'])}")
    return [_span(entry, f"{source}: gaps[{i}]") for i, entry in enumerate(value["gaps"])]


def _span(entry: Any, where: str) -> Span:
    if not isinstance(entry, dict):
        raise DataError(f"{where} must be a mapping with start_byte and end_byte, got {_words(entry)}")
    _require_keys(entry, _KEYS, ("start_byte", "end_byte"), where)
    found: dict[str, Any] = {}
    for key, value in entry.items():
        kind, words = _KEYS[key]
        if value is None and kind is not int:
            continue
        items = value if type(value) is list else []
        if type(value) is not kind or not all(type(item) is str for item in items):
            raise DataError(f"{where}.{key} must be {words}, got {_words(value)}")
        if key == "choices" and not value:
            raise DataError(f"{where}.choices is empty: nothing could be chosen")
        found[key] = tuple(items) if kind is list else value
    try:
        if "length" in found:
            found["length"] = parse_length(found["length"])
        span = Span(**found)
        Gap(0, span.name, span.length, "", span.choices, span.pattern, span.must, span.forbid)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return span


def _require_keys(
    value: dict[str, Any], known: Sequence[str] | dict[str, Any], needed: Sequence[str], where: str
) -> None:
    for key in value:
        if key not in known:
            raise DataError(
                f"{where} has the unknown key {key[:60]!r}.{nearest(key[:60], known)} Known: {', '.join(known)}"
            )
    for key in needed:
        if key not in value:
            raise DataError(f"{where} lacks the key {key!r}")


def _words(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
