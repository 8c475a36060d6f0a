"""Gaps: holes in a document, what they may ask for, and what none can ask for."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textdiff.errors import DataError, nearest

Unit = Literal["words", "tokens", "chars", "sentences"]

UNITS: dict[str, Unit] = {
    "": "words", "word": "words", "words": "words", "token": "tokens", "tokens": "tokens",
    "char": "chars", "chars": "chars", "character": "chars", "characters": "chars",
    "sentence": "sentences", "sentences": "sentences",
}  # fmt: skip
"""What a length may be counted in, as it is written; a bare number counts words."""

MAX_GAPS = 10_000
MAX_LENGTH = 999_999
MAX_CHOICES = 10_000
MAX_WORDS = 100
MAX_CHARACTERS = 10_000
"""Characters of a choice or a pattern at most."""
_MAX_NAME = 100
_LENGTH = re.compile(r"([0-9]+)(?:\s*[-–]\s*([0-9]+))?(?![0-9])\s*(.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What no text can hold: codes that do something to a terminal or end a C string, and halves of characters."""


@dataclass(frozen=True)
class GapLength:
    """How long a gap's text must be: low to high units, both included.

    Raises:
        DataError: it is below 1, above `MAX_LENGTH`, or the shortest is above the longest.
    """

    low: int
    high: int
    unit: Unit

    def __post_init__(self) -> None:
        if self.low < 1:
            raise DataError(f"the length of a gap must be at least 1, got {self.low}")
        if self.low > self.high:
            raise DataError(f"the shortest length of a gap, {self.low}, is above its longest, {self.high}")
        if self.high > MAX_LENGTH:
            raise DataError(f"the length of a gap must be at most {MAX_LENGTH}, got {self.high}")


@dataclass(frozen=True)
class Gap:
    """A hole in a document. It may ask for several things; its text does justice to all of them.

    Attributes:
        index: its number in the document, from 0.
        name: what the user calls it, or None.
        length: what was asked for, or None where the model chooses.
        markup: what the source has in its place, and what stands there while the gap is open.
        choices: the text is one of these, exactly as spelled; () where anything goes.
        pattern: a regular expression that matches the whole text, or None.
        must, forbid: words that the text contains, or does not: whole words, whatever their case.

    Raises:
        DataError: nobody could mean that: an empty choice, a word both in `must` and in `forbid`, and the like.
    """

    index: int
    name: str | None
    length: GapLength | None
    markup: str
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    must: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_choices(self.choices)
        _check_pattern(self.pattern)
        _check_words("must", self.must)
        _check_words("forbid", self.forbid)
        forbidden = {word.casefold() for word in self.forbid}
        for word in self.must:
            if word.casefold() in forbidden:
                raise DataError(f"the word {word!r} stands both in must and in forbid")

    @property
    def label(self) -> str:
        """What messages call the gap: its number from 1, and its name or its markup."""
        return f"gap {self.index + 1}, {_short(self.name or self.markup)!r}"


def parse_length(text: str) -> GapLength:
    """The length that a text such as "5", "3-8 words" or "40 chars" stands for.

    Raises:
        DataError: it is none.
    """
    match = _LENGTH.fullmatch(text.strip()) if len(text) <= 1000 else None
    if match is None:
        raise DataError(f"{_short(text)!r} is not a length such as 5, 3-8 words, 12 tokens, 40 chars or 1 sentence")
    numbers = match[1], match[2] or match[1]
    if match[3] not in UNITS:
        raise DataError(
            f"{_short(match[3])!r} is not a unit of a length: use words, tokens, chars or sentences."
            f"{nearest(match[3][:20], filter(None, UNITS))}"
        )
    for number in numbers:
        if len(number) > 9:
            raise DataError(f"the length of a gap must be at most {MAX_LENGTH}, got {_short(number)}")
    return GapLength(int(numbers[0]), int(numbers[1]), UNITS[match[3]])


def _check_name(name: str | None) -> None:
    if name is not None and not (0 < len(name) <= _MAX_NAME and len(name.splitlines()) == 1 and name.strip() == name):
        raise DataError(f"the name of a gap must be one line of 1 to {_MAX_NAME} characters, got {_short(name)!r}")
    if name is not None and (found := _CONTROL.search(name)):
        raise DataError(f"the name {_short(name)!r} holds the control code U+{ord(found[0]):04X}")


def _check_choices(choices: Sequence[str]) -> None:
    if len(choices) > MAX_CHOICES:
        raise DataError(f"a gap can have at most {MAX_CHOICES} choices, got {len(choices)}")
    seen: set[str] = set()
    for choice in choices:
        if not choice:
            raise DataError("a choice is empty")
        if len(choice) > MAX_CHARACTERS:
            raise DataError(f"a choice can have at most {MAX_CHARACTERS} characters, got {len(choice)}")
        if found := _CONTROL.search(choice):
            raise DataError(f"the choice {_short(choice)!r} holds the control code U+{ord(found[0]):04X}")
        if choice in seen:
            raise DataError(f"the choice {_short(choice)!r} stands twice")
        seen.add(choice)


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    if not pattern:
        raise DataError("a pattern is empty")
    if len(pattern) > MAX_CHARACTERS:
        raise DataError(f"a pattern can have at most {MAX_CHARACTERS} characters, got {len(pattern)}")
    if re.search(r"[\ud800-\udfff]", pattern):
        raise DataError(f"the pattern {_short(pattern)!r} holds a lone surrogate, which is not a character")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(f"the pattern {_short(pattern)!r} is not a regular expression: {problem}") from None


def _check_words(kind: str, words: Sequence[str]) -> None:
    if len(words) > MAX_WORDS:
        raise DataError(f"{kind} can have at most {MAX_WORDS} words, got {len(words)}")
    seen: set[str] = set()
    for word in words:
        if not word:
            raise DataError(f"a word in {kind} is empty")
        if not is_word(word):
            raise DataError(f"{_short(word)!r} in {kind} is not a word: words are separated by commas")
        if word.casefold() in seen:
            raise DataError(f"the word {word!r} stands twice in {kind}")
        seen.add(word.casefold())


def is_word(text: str) -> bool:
    """Whether this is one word: no white space or control codes, and a letter, digit or underscore at both ends."""
    if text.split() != [text] or len(text) > MAX_CHARACTERS or _CONTROL.search(text):
        return False
    # marks belong to the letter before them: "é" may be two code points, and many scripts write vowels so
    ends = text[0], text.rstrip("".join(c for c in {*text} if unicodedata.category(c)[0] == "M"))[-1:]
    return all(end.isalnum() or end == "_" for end in ends)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
