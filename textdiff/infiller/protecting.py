"""What a revision leaves alone: code, markup, addresses, numbers and names, and whatever the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from textdiff.errors import DataError, UsageError, nearest
from textdiff.text.document import Document, Gap
from textdiff.text.located import WORD
from textdiff.text.utf8 import cuts_character

Span = tuple[int, int]

_FENCE = re.compile(r"(?m)^(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})")
_FRONT_MATTER = re.compile(
    r"\A\ufeff?(?P<mark>---|\+\+\+)[ \t]*\r?\n(?s:.*?)^(?:(?P=mark)|\.\.\.)[ \t]*\r?$", re.MULTILINE
)
_MARKDOWN = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\r?\n)[\s\S]){1,4000}?(?<!`)(?P=ticks)(?!`)"
    r"|\]\((?:[^()\n\\]|\\.|\([^()\n]*\))*\)|\]\[[^]\n]*\]|^ {0,3}\[[^]\n]+\]:.*$",
    re.MULTILINE,
)
_HTML = re.compile(
    r"(?P<comment><!--)|<(?P<tag>script|style|pre|code|kbd|samp|svg|math|textarea)\b[^<>]*>"
    r"|</?[A-Za-z!?][^<>]*>|&(?:\#\w{1,10}|[A-Za-z]\w{1,30});",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z\d+.-]{1,20}:/{0,2}[^\s/]|www\.|[^\W_][/\\_.@=][^\W_]|[@#]\w", re.IGNORECASE)
_SENTENCE_ENDS = re.compile(
    r"""(?:^|[.!?…:;]|\n[ \t]*\r?\n|\n[ \t]*(?:[-*+>#|]|\d+[.)]))[\s"'“”‘’«»()\[\]*_#>|+-]*\Z|["“‘«]\Z"""
)
_MARKUP = re.compile(r"\[MASK[^\r\n]*")


@dataclass(frozen=True)
class Protection:
    """Which bytes of a document must stay.

    Attributes:
        kinds: names of `KINDS`.
        patterns: regular expressions of Python; what they match stays.
        spans: ranges of bytes.

    Gaps of the document stay in any case.

    Raises:
        UsageError: there is no such kind, or a pattern is none.
    """

    kinds: tuple[str, ...] = ("markdown", "html", "addresses", "numbers", "names")
    patterns: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise UsageError(
                    f"nothing is protected as {kind!r}.{nearest(kind, KINDS)} Known: {', '.join(KINDS)}, none"
                )
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise UsageError(f"{pattern[:60]!r} is not a regular expression: {error}") from None

    def of(self, data: bytes) -> list[Span]:
        """The protected ranges of bytes of a document in UTF-8, rising and apart.

        Raises:
            DataError: a span leaves the document or cuts a character.
        """
        text = data.decode()
        found = [span for kind in self.kinds for span in KINDS[kind](text)]
        found += [match.span() for pattern in self.patterns for match in re.finditer(pattern, text, re.MULTILINE)]
        for start, stop in self.spans:
            if not 0 <= start <= stop <= len(data):
                raise DataError(
                    f"the protected span {start}:{stop} is not within the {len(data)} bytes of the document"
                )
            if cuts_character(data, start) or cuts_character(data, stop):
                raise DataError(f"the protected span {start}:{stop} cuts a character in two")
        return merged([*_in_bytes(text, merged(found)), *self.spans, *_gaps(data)])


def merged(spans: Sequence[Span]) -> list[Span]:
    """The same ranges, rising and apart; empty ones left out."""
    result: list[Span] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        elif start < stop:
            result.append((start, stop))
    return result


def begins_sentence(before: str) -> bool:
    """Whether a word after this text begins a sentence, a paragraph or a list item."""
    return not before.strip() or _SENTENCE_ENDS.search(before[-200:]) is not None


def _markdown(text: str) -> Iterator[Span]:
    """Front matter, fenced and inline code, targets of links, and definitions of references."""
    if match := _FRONT_MATTER.match(text):
        yield match.span()
    end = 0
    while match := _FENCE.search(text, end):
        closing = re.compile(rf"(?m)^[ \t>]*{match['fence']}{match['fence'][0]}*[ \t]*\r?$")
        closed = closing.search(text, match.end())
        yield from (found.span() for found in _MARKDOWN.finditer(text, end, match.start()))
        end = closed.end() if closed else len(text)
        yield match.start(), end
    yield from (found.span() for found in _MARKDOWN.finditer(text, end))


def _html(text: str) -> Iterator[Span]:
    """Comments, tags, entities, and elements whose content is no prose."""
    end = 0
    unclosed: set[str] = set()
    while match := _HTML.search(text, end):
        end = match.end()
        name = (match["tag"] or "").lower()
        if (match["comment"] or name) and name not in unclosed:
            closing = re.compile(rf"</{name}\s*>" if name else "-->", re.IGNORECASE).search(text, end)
            if closing:
                end = closing.end()
            else:  # looked for once, not again for each
                unclosed.add(name)
        yield match.start(), end


def _addresses(text: str) -> Iterator[Span]:
    """URLs, e-mail addresses, paths, names of files and identifiers: what holds no space but signs between letters."""
    return (match.span() for match in re.finditer(r"\S+", text) if _URL.search(match[0]))


def _numbers(text: str) -> Iterator[Span]:
    """Words with a digit."""
    return (match.span() for match in re.finditer(WORD, text) if any(c.isdigit() for c in match[0]))


def _names(text: str) -> Iterator[Span]:
    """Words with a capital that do not begin a sentence; not "I"."""
    for match in re.finditer(WORD, text):
        word = match[0]
        if word != word.lower() and not re.match(r"I(?!\w)", word):
            inner = not word[1:].islower() and len(word) > 1
            if inner or not begins_sentence(text[max(0, match.start() - 200) : match.start()]):
                yield match.span()


KINDS: dict[str, Callable[[str], Iterator[Span]]] = {
    "markdown": _markdown,
    "html": _html,
    "addresses": _addresses,
    "numbers": _numbers,
    "names": _names,
}
"""What can be protected, by name."""


def _gaps(data: bytes) -> Iterator[Span]:
    """The gaps of a document; where its markup is wrong, all that follows a mark on its line."""
    try:
        parts = Document.parse(data).parts
    except DataError:
        yield from _in_bytes(data.decode(), [match.span() for match in _MARKUP.finditer(data.decode())])
        return
    end = 0
    for part in parts:
        start, end = end, end + len(part.markup.encode())
        if isinstance(part, Gap):
            yield start, end


def _in_bytes(text: str, spans: Sequence[Span]) -> list[Span]:
    """Rising ranges of characters as ranges of bytes."""
    result: list[Span] = []
    at = size = 0
    for span in spans:
        ends = []
        for place in span:
            size += len(text[at:place].encode())
            at = place
            ends.append(size)
        result.append((ends[0], ends[1]))
    return result
