"""What the text of each gap may be: what was asked for, compiled for a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from textdiff.errors import DataError
from textdiff.text.automaton import TokenAutomaton, compile_automaton
from textdiff.text.document import Document, Gap
from textdiff.text.language import Language, language_of
from textdiff.text.style import HOLE
from textdiff.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Wish:
    """What the text of a gap may be.

    Attributes:
        automaton: the token sequences that may be written.
        start: the state of the tokenizer's spelling in which the gap begins.
        lengths: the numbers of tokens that are possible, rising.
    """

    automaton: TokenAutomaton
    start: int
    lengths: tuple[int, ...]


def wishes_of(
    document: Document,
    tokenizer: Tokenizer,
    most: int,
    room: int,
    default: tuple[int, int] | None = None,
    must: tuple[str, ...] = (),
    forbid: tuple[str, ...] = (),
) -> list[Wish]:
    """The wishes of a document's gaps.

    Args:
        document: the document.
        tokenizer: the model's.
        most: tokens that a gap can have at all.
        room: tokens that a gap has at most which asks for nothing.
        default: least and most tokens of a gap that asks for no length.
        must, forbid: words that every gap must or must not hold, besides its own.

    Raises:
        DataError: nothing can be written that a gap asks for, or nothing that fits.
    """
    surroundings, spelling = _surroundings(document), tokenizer.spelling
    wishes = []
    for gap in document.gaps:
        left, right = surroundings[gap.index]
        wanted = _also(gap, must, forbid)
        # Neighbours matter only where words are looked for, and gaps that ask for the same share an automaton.
        sides = (left, right) if wanted.must or wanted.forbid else ("", "")
        language = language_of(wanted, *sides)
        try:
            wishes.append(_wish(wanted, language, spelling.start(left, right), tokenizer, most, room, default))
        except DataError as error:
            raise DataError(f"{gap.label}: {error}") from None
    return wishes


def _also(gap: Gap, must: tuple[str, ...], forbid: tuple[str, ...]) -> Gap:
    try:
        return replace(gap, must=gap.must + must, forbid=gap.forbid + forbid)
    except DataError as error:
        raise DataError(f"{gap.label}: {error}") from None


def _surroundings(document: Document) -> list[tuple[str, str]]:
    """The text before and after each gap, as far as spelling looks; other gaps are written as `HOLE`."""
    texts = [HOLE if isinstance(part, Gap) else part.text for part in document.parts]
    found = []
    for i, part in enumerate(document.parts):
        if isinstance(part, Gap):
            before, after = _near(reversed(texts[:i][-_NEAR:])), _near(iter(texts[i + 1 : i + 1 + _NEAR]))
            found.append(("".join(reversed(before))[-_NEAR:], "".join(after)[:_NEAR]))
    return found


def _near(texts: Iterator[str]) -> list[str]:
    """The first of some texts, as many as it takes to have enough characters."""
    taken: list[str] = []
    size = 0
    for text in texts:
        if size >= _NEAR:
            break
        taken.append(text)
        size += len(text)
    return taken


_NEAR = 8_000
"""Characters of neighbouring text that spelling may look at."""


def _wish(
    gap: Gap,
    language: Language,
    start: int,
    tokenizer: Tokenizer,
    most: int,
    room: int,
    default: tuple[int, int] | None,
) -> Wish:
    automaton = compile_automaton(language, tokenizer.spelling, start)
    low, high = _bounds(gap, automaton, tokenizer, most, room, default)
    lengths = tuple(k for k in automaton.lengths(min(high, most)) if k >= low)
    if not lengths:
        raise DataError(
            f"nothing that it asks for can be written in {_range(low, min(high, most))} tokens: ask for less"
        )
    return Wish(automaton, start, lengths)


def _range(low: int, high: int) -> str:
    return str(high) if low >= high else f"{low} to {high}"


def _bounds(
    gap: Gap, automaton: TokenAutomaton, tokenizer: Tokenizer, most: int, room: int, default: tuple[int, int] | None
) -> tuple[int, int]:
    """The least and the most tokens that are worth a thought. An automaton alone has no end, or spells letter by letter."""
    length = gap.length
    if length is not None and length.unit == "tokens":
        if length.low > most:
            raise DataError(f"needs {length.low} positions, but the model's context has room for {most}: ask for less")
        return length.low, length.high
    if length is None and default is not None:
        return default
    shortest = next(iter(automaton.lengths(most)), most)
    if length is not None:
        likely = {"words": 2 * length.high + 2, "chars": length.high // 3 + 2, "sentences": 40 * length.high}[
            length.unit
        ]
    elif gap.choices:
        likely = max(len(tokenizer.encode(choice, start=False)) for choice in gap.choices)
    else:
        likely = room
    return 1, max(shortest + _SLACK, min(likely, most // 2))


_SLACK = 2
"""Tokens beyond the fewest that are always considered."""
