"""Text that a standard set gives in tokens with blanks between them, as people write it.

A token is moved to its neighbours by what it is: `,` to the word before it, `(` to the one behind. Text that nobody has cut
into tokens has no such token standing free, and stays as it is. What the sets have lost does not come back: `<unk>` of WikiText
stays, and what `ptb` puts in place of numbers and unknown words is what the field puts there.

Source: the functions of Megatron-LM (wikitext, ptb) and of SEDD, arXiv 2310.16834 (lm1b), which MDLM, arXiv 2406.07524, uses
too. Same purpose, other rules: quotes are paired within a line, `s '` is a possessive, and more signs find their place. Figures
are therefore near to theirs, and not comparable to the last digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from textdiff.corpus.events import Event, Piece
from textdiff.errors import ConfigError, nearest

Detokenizer = Literal["wikitext", "ptb", "lm1b", "moses"]

_LINE = re.compile(r"[^\r\n]+")
_FRAMED = re.compile(r" ([^ ](.*[^ ])?)? | ")
_CLITICS = frozenset({"s", "t", "re", "ve", "ll", "d", "m"})
_NAMES = frozenset({"O", "D", "L"})
"""What stands before the apostrophe of names such as O'Brien. Other words that begin with one may begin a quotation."""


@dataclass(frozen=True)
class _Style:
    """How the tokens of a set are put together.

    Attributes:
        left, right, both: tokens that join the one before, the one behind, or both.
        quotes: tokens that open and close by turns within a line.
        written: what stands for a token.
        escaped: what stands for a part of a token, undone first.
        articles: whether `= =` is one sign, and `5 – 6` one range: the text is of Wikipedia.
    """

    left: frozenset[str]
    right: frozenset[str]
    both: frozenset[str] = frozenset()
    quotes: frozenset[str] = frozenset()
    written: Mapping[str, str] = field(default_factory=dict)
    escaped: Mapping[str, str] = field(default_factory=dict)
    articles: bool = False


_ENDS = frozenset([",", ".", ";", ":", "!", "?", "...", "%", ")", "]", "}", "′", "″", "”", "’"])
_BEGINS = frozenset(["(", "[", "{", "$", "£", "€", "“", "‘"])
_QUOTES = frozenset(['"', "'"])
_SPLIT = {"@-@": "-", "@,@": ",", "@.@": ".", "@/@": "/"}
_INNER = frozenset([*_SPLIT, "/", "°", "—", "\u2011"])
_ENTITIES = {
    "&apos;": "'", "&quot;": '"', "&lt;": "<", "&gt;": ">", "&#91;": "[", "&#93;": "]", "&#124;": "|", "&bar;": "|",
    "&amp;": "&",
}  # fmt: skip

_STYLES: Mapping[str, _Style] = {
    "wikitext": _Style(_ENDS, _BEGINS, _INNER, _QUOTES, _SPLIT, articles=True),
    "ptb": _Style(frozenset(["%"]), frozenset(["$", "#"]), written={"N": "1", "<unk>": "?"}, escaped={"\\/": "/"}),
    "lm1b": _Style(_ENDS, _BEGINS, frozenset(["/"]), _QUOTES),
    "moses": _Style(_ENDS, _BEGINS, frozenset(_SPLIT), _QUOTES, _SPLIT, _ENTITIES),
}


def check_detokenizer(name: str | None) -> None:
    """Raises ConfigError where there is none of that name."""
    known = get_args(Detokenizer)
    if name is not None and name not in known:
        raise ConfigError(f"no detokenizer is named {name!r}.{nearest(name, known)} Known: {', '.join(known)}")


def detokenize(text: str, name: Detokenizer) -> str:
    """A text as people write it, line by line.

    Args:
        text: tokens with blanks between them.
        name: of the set that it is from. `wikitext`: WikiText-2 and -103, also raw, where `@-@`, `@,@` and `@.@` stand within
            words. `ptb`: Penn Treebank as language models have it, without punctuation; numbers become 1, unknown words ?.
            `lm1b`: One Billion Word. `moses`: Moses's tokenizer, also with its escapes such as `&apos;`.
    """
    style = _STYLES[name]
    return _LINE.sub(lambda found: _line(found[0], style), text)


def detokenized(events: Iterable[Event], name: Detokenizer) -> Iterator[Event]:
    """What comes out of a file, with its texts detokenised. Lines are held back until they are whole."""
    held = ""
    for event in events:
        if not isinstance(event, Piece):
            yield event
            continue
        text = held + event.text
        stop = len(text) if event.last else text.rfind("\n") + 1
        held = text[stop:]
        if stop or event.last:
            yield Piece(detokenize(text[:stop], name), event.last)


def _line(line: str, style: _Style) -> str:
    """A line; a blank on each side is part of the tokens' form, and goes."""
    for escape, sign in style.escaped.items():
        line = line.replace(escape, sign)
    parts = re.split("( +)", line[1:-1] if _FRAMED.fullmatch(line) else line)
    tokens, gaps = parts[::2], parts[1::2]
    joins = _joins(tokens, style)
    written = [style.written.get(token, token) for token in tokens]
    return "".join(written[i] + ("" if joins[i] else gap) for i, gap in enumerate([*gaps, ""]))


def _joins(tokens: list[str], style: _Style) -> list[bool]:
    """Whether each token is joined with the one behind it."""
    found = [False] * (len(tokens) + 1)  # the last one for the begin of the line, at -1
    opened: set[str] = set()
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else ""
        after = tokens[i + 1] if i + 1 < len(tokens) else ""
        left, right = _sides(token, before, after, style, opened)
        found[i - 1] |= left and before != ""
        found[i] = right and after != ""
    return found


def _sides(token: str, before: str, after: str, style: _Style, opened: set[str]) -> tuple[bool, bool]:
    """Whether a token joins the one before it, and the one behind; `opened` are the quotes that are open."""
    if token in style.both:
        return True, True
    numbers = before[-1:].isdigit() and after[:1].isdigit()
    if token in style.left:
        return True, (token == ":" and numbers) or (token == "’" and after in _CLITICS)
    if token in style.right:
        return False, True
    if (
        token == "'" and token not in opened and (before[-1:] == "s" or before in _NAMES)
    ):  # of several owners; O ' Brien
        return True, before in _NAMES
    if token in style.quotes:
        return _quote(token, after, opened)
    if token == "=":
        return style.articles and before == "=", False
    if token == "–":
        return style.articles and numbers, style.articles and numbers
    return _is_ending(token, before), False


def _is_ending(token: str, before: str) -> bool:
    """Whether a token is the end of the word before it."""
    if token == "n't":
        return before[-1:].isalpha()
    if token[:1] != "'":
        return False
    return token[1:].lower() in _CLITICS or (before in _NAMES and token[1:].isalpha())


def _quote(token: str, after: str, opened: set[str]) -> tuple[bool, bool]:
    if token in opened or not after:
        opened.discard(token)
        return True, False
    if not (token == "'" and after[0].isdigit()):  # ' 70s
        opened.add(token)
    return False, True
