"""How a document writes: its quotes, dashes and names, and where in a sentence a place stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from textdiff.text.joining import Last, State, Style, step
from textdiff.text.wordpiece import Case, describe

HOLE = "\ufffc"
"""Stands for a gap in a text that is read here: nobody knows its text, but it is taken to be words."""

_TAIL = 2000  # characters before a place that tell where in its sentence it stands
_WRAPPED = re.compile(r"[^\W\d_],?\r?\n[ \t>]*[a-z]")
_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n|\n(?=[ \t]*(?:[#>*+•–—-]+|\d+[.)])[ \t])|\|")
_LINE = re.compile(r"\n|\|")
_INLINE_TAG = re.compile(r"</?(?:a|abbr|b|code|em|i|mark|q|small|span|strong|sub|sup|u)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_BEGINNING = re.compile(r"\s*(?:[#>+•–—-]+\s+)*(?:\d+[.)]\s+)?(?:\[[ xX]\]\s+)?(?:[A-Z][\w -]{0,30}:\s+)?")
_OPENING_DOUBLE = re.compile(r'(?<![^\s(\[{—-])"')
_OPENING_SINGLE = re.compile(r"(?<![^\s(\[{“„—-])['’](?=\w)")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_INNER_WORD = re.compile(r"(?<=[\w,;] )[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]+")
_JOINED = {dash: re.compile(rf"\w{dash}\w") for dash in "-—"}
_CLOSING = tuple(".,;:!?…)]}%")


def style_of(around: str, lower_case: bool) -> Style:
    """The style of a document.

    Args:
        around: what stands around a place.
        lower_case: whether the model writes lower case only.
    """
    low = "„" in around
    curly = low or "“" in around or "”" in around
    double = ("„“" if low else "“”") if curly else '""' if '"' in around else ""
    single = "‘’’" if "’" in around else "'''" if "'" in around else ("‘’’" if curly else "'''" if double else "")
    dashes = "".join(dash for dash in "-—" if around.count(f" {dash} ") > len(_JOINED[dash].findall(around)))
    nested = _OPENING_SINGLE.search(around) is not None or "‘" in around
    return Style(double, single, nested, dashes, capitals=lower_case and (len(around) < 30 or around != around.lower()))


def state_at(left: str, right: str) -> State:
    """Where a gap begins.

    Args:
        left: the text before the gap, other gaps in it written as `HOLE`.
        right: the text after it.
    """
    follows = left[-1:].isalnum() or left.endswith((HOLE, "_")) or (left.endswith(_CLOSING) and right.startswith(" "))
    paragraph = _with_directions(_last_paragraph(left.replace(HOLE, "x")))
    if not paragraph:
        return State(Last.FRESH, given=True)
    start = max(len(paragraph) - _TAIL, 0)
    quoted = paragraph.rfind("“", 0, start) > paragraph.rfind("”", 0, start)
    state = State(Last.MIDDLE if start else Last.FRESH, double=quoted)
    for token in _TOKEN.findall(paragraph, start):
        state = step(state, describe(token.lower()), Style()).state
    return state._replace(given=not follows)


def _last_paragraph(text: str) -> str:
    """What stands in the last paragraph, list item, heading or table cell, without the mark at its beginning."""
    if "<" in text:
        text = _TAG.sub("\n\n", _INLINE_TAG.sub("", text))
    breaks = _BLANK_LINE if _WRAPPED.search(text) else _LINE
    start = max((match.end() for match in breaks.finditer(text)), default=0)
    paragraph = text[start:].replace("*", "")
    beginning = _BEGINNING.match(paragraph)
    if beginning and beginning.end() == len(paragraph):
        return ""
    return paragraph


def _with_directions(text: str) -> str:
    """The text with quotes that say whether they open or close: the spaces around them tell."""
    text = _OPENING_SINGLE.sub("‘", _OPENING_DOUBLE.sub("“", text))
    return text.replace('"', "”")


def capitals_of(around: str, first_ids: Callable[[list[str]], Iterable[int]]) -> dict[int, Case]:
    """How a document writes words within its sentences: words that begin with this token are written in this case.

    Args:
        around: what stands around a place.
        first_ids: the first token of each of several words.
    """
    capital = Counter(word for word in _INNER_WORD.findall(around) if word != word.lower())
    counts = capital + Counter(word for word in _WORD.findall(around) if word == word.lower())
    votes: dict[int, list[int]] = {}
    for (word, count), first in zip(counts.items(), first_ids(list(counts)), strict=True):
        case = Case.SAME if word not in capital else Case.UPPER if len(word) > 1 and word.isupper() else Case.CAPITAL
        votes.setdefault(first, [0] * len(Case))[case] += count
    return {first: Case(cases.index(max(cases))) for first, cases in votes.items()}
