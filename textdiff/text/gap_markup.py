"""The markup `[MASK#name: item; item; …]` of a gap, read from bytes.

An item is a length, choices with | between them, a regular expression between slashes, or `must:` or `forbid:` with
words and commas between them. A backslash takes the meaning from the character after it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NoReturn

from textdiff.errors import DataError, nearest
from textdiff.text.gaps import Gap, parse_length
from textdiff.text.utf8 import decode, place

SYNTAX = (
    "A gap is written [MASK], [MASK: 5 words], [MASK: 3-8 words], [MASK: yes|no], [MASK: /regex/] or "
    "[MASK#name: 12 tokens; must: fire; forbid: sea, sand]; \\[MASK] is literal text."
)
HELP = r"""Gaps in a document:
  [MASK]                  any text of any length
  [MASK: 5 words]         5 or 3-8 words, 12 tokens, 40 chars, 1 sentence
  [MASK: yes|no|perhaps]  one of these texts
  [MASK: /\d{4}-\d\d/]    what a regular expression matches; / in it is \/
  [MASK: must: fire, sea; forbid: water]
                          with these words, and without those
  [MASK#name: 3-8 words; must: sea]
                          a name for reports; wishes are separated by ;
  \[MASK]                 the literal text [MASK]
A bare number counts words. In choices and words a \ stands before a literal
| ; [ ] , : / \ and before a space at an end that is to stay.
"""
OPENER = b"[MASK"

_NAME = re.compile(rb"#([^][:;\s]+)")
_SPACE = re.compile(rb"[ \t]*")
# a backslash guards the first byte of the character after it; the others are never one of those that have a meaning
_PLAIN = re.compile(rb"(?:[^][;\\\r\n]|\\[^\r\n])*+")
_PATTERN = re.compile(rb"/((?:[^/\\\r\n]|\\[^\r\n])*+)(/?)[ \t]*")
_KEY = re.compile(r"([^\W\d_]+)\s*:(.*)", re.DOTALL)
_KEYS = ("must", "forbid")
_TITLES = {"choices": "list of choices", "must": "must: list", "forbid": "forbid: list"}


def read_gap(data: bytes, start: int, index: int) -> tuple[Gap, int]:
    """Reads the gap whose "[MASK" stands at `start`; returns it and where it ends.

    Raises:
        DataError: with line and column: the markup is wrong, or asks for what no gap can ask for.
    """
    position = start + len(OPENER)
    gap = Gap(index, None, None, "")
    if match := _NAME.match(data, position):
        gap = _ask(data, position, gap, "name", decode(data, *match.span(1)))
        position = match.end()
    position = _end(_SPACE, data, position)
    before = b":"
    while data[position : position + 1] == before:
        gap, position = _read_item(data, start, _end(_SPACE, data, position + 1), gap)
        before = b";"
    if data[position : position + 1] != b"]":
        _refuse_end(data, start, position)
    return replace(gap, markup=decode(data, start, position + 1)), position + 1


def _read_item(data: bytes, opener: int, start: int, gap: Gap) -> tuple[Gap, int]:
    """Reads the item at `start`; returns the gap that asks for it too, and where the item ends."""
    if match := _PATTERN.match(data, start):
        if not match[2]:
            if b"]" not in match[1]:
                _refuse_end(data, opener, match.end())
            raise DataError(f"{place(data, start)}: this pattern is not closed by '/' on its line. {SYNTAX}")
        if data[match.end() : match.end() + 1] not in (b";", b"]", b"\r", b"\n", b""):
            found = data[match.end() : match.end() + 4].decode(errors="ignore")[:1]
            raise DataError(
                f"{place(data, match.end())}: ';' or ']' comes after a pattern, got {found!r}; "
                "a '/' inside a pattern is written \\/"
            )
        text = re.sub(r"\\(.)", lambda m: "/" if m[1] == "/" else m[0], decode(data, *match.span(1)))
        return _ask(data, start, gap, "pattern", text), match.end()
    stop = _end(_PLAIN, data, start)
    if data[stop : stop + 1] not in (b";", b"]"):
        _refuse_end(data, opener, stop)
    try:
        kind, value = _parse_item(decode(data, start, stop))
    except DataError as error:
        raise DataError(f"{place(data, start)}: {error}") from None
    return _ask(data, start, gap, kind, value), stop


def _ask(data: bytes, start: int, gap: Gap, kind: str, value: Any) -> Gap:
    """The gap that asks for this too."""
    try:
        if getattr(gap, kind):
            raise DataError(f"a gap can have only one {_TITLES.get(kind, kind)}")
        changes: dict[str, Any] = {kind: value}
        return replace(gap, **changes)
    except DataError as error:
        raise DataError(f"{place(data, start)}: {error}") from None


def _parse_item(text: str) -> tuple[str, Any]:
    """What an item that is no pattern asks for: the name of the gap's attribute, and its value."""
    if not text.strip():
        raise DataError(f"a length, choices, a pattern, must: or forbid: is missing here. {SYNTAX}")
    if match := _KEY.match(text):
        if match[1] not in _KEYS:
            raise DataError(
                f"{match[1] + ':'!r} is not known: only must: and forbid: are.{nearest(match[1], _KEYS)} "
                "A ':' inside a choice is written \\:"
            )
        return match[1], tuple(_split(match[2], ","))
    if len(choices := _split(text, "|")) > 1:
        return "choices", tuple(choices)
    if not text[0].isdigit():
        hint = nearest(text.split()[0][:20], [f"{key}:" for key in _KEYS])
        raise DataError(
            f"{text.strip()[:60]!r} is not a length, choices with | between them, or a /pattern/.{hint or ' ' + SYNTAX}"
        )
    return "length", parse_length(text)


def _split(text: str, separator: str) -> list[str]:
    """Cuts at the separators, drops white space around the pieces, and then the backslashes."""
    pieces = re.findall(rf"((?:[^\\{separator}]|\\.)*+){re.escape(separator)}", text + separator)
    return [re.sub(r"\\(.?)", _unescape, piece.strip()) for piece in pieces]


def _unescape(match: re.Match[str]) -> str:
    character = match[1] or " "  # a backslash at the end has lost the space that it kept
    if character not in "|;[],:/\\ ":
        raise DataError(f"a backslash can stand before | ; [ ] , : / \\ and a space, but not before {character!r}")
    return character


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Where that which matches the pattern at `start` ends."""
    match = pattern.match(data, start)
    return match.end() if match else start


def _refuse_end(data: bytes, start: int, position: int) -> NoReturn:
    """Says why the gap that opens at `start` does not go on at `position`."""
    found = data[position : position + 1]
    close = re.compile(rb"[]\r\n]").search(data, position)
    if found == b"\\" or not close or close[0] != b"]":
        raise DataError(f"{place(data, start)}: this gap is not closed by ']' on its line. {SYNTAX}")
    if found == b"[":
        raise DataError(
            f"{place(data, position)}: '[' stands inside the gap that begins at {place(data, start)}: "
            "close that with ']' first, or write \\["
        )
    markup = data[start : min(close.end(), start + 60)].decode(errors="ignore")
    raise DataError(f"{place(data, start)}: {markup!r} is not a gap. {SYNTAX}")
