"""What a gap asks for as a language: the set of all texts that may stand in it.

The text is that of the gap as it stands in the document. Control codes are in no language, unless a choice or a
pattern spells them out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from textdiff.errors import DataError
from textdiff.text.dfa import MAX_STATES, Language
from textdiff.text.gaps import Gap, GapLength
from textdiff.text.regex import language_of_pattern, literals, matching

__all__ = [
    "MAX_STATES", "Language", "anything", "characters", "choices", "containing", "language_of", "matching",
    "sentences", "words",
]  # fmt: skip

_LINE_ENDS = r"\t\n\r"
_CODES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
"""Control codes that do not set text, and halves of characters, as members of a set."""
_ON_A_LINE = rf"[^{_CODES}{_LINE_ENDS}\u2028\u2029]"
_WORD = rf"[^\s{_CODES}]"
_ENDING = r"""[.!?…]["'”’“‘»«›‹)\]}]*"""
"""The end of a sentence. Quotes count however they are turned: “ closes in German, » in French, « in Danish."""


def anything(codes: Collection[int] = ()) -> Language:
    r"""One or more characters: no control codes but \t, \n and \r, and the code points given."""
    others = "".join("|" + re.escape(chr(code)) for code in codes)
    return matching(rf"(?:[^{_CODES}]{others})+")


def words(low: int, high: int) -> Language:
    """So many words, with one space between them and no other white space. Each holds a letter or digit."""
    word = rf"{_WORD}*[^\W_]{_WORD}*"
    return language_of_pattern(rf"{word}(?: {word}){_times(low, high)}", f"a length of {_range(low, high)} words")


def characters(low: int, high: int) -> Language:
    """So many characters (code points) on one line, without tabs."""
    return language_of_pattern(rf"{_ON_A_LINE}{{{low},{high}}}", f"a length of {_range(low, high)} characters")


def sentences(low: int, high: int) -> Language:
    """So many sentences on one line: words with one space between them.

    A word that ends with . ! ? or …, and quotes and brackets after it, ends a sentence. The last word must, and each
    sentence holds a letter or digit.
    """
    end = rf"{_ENDING}(?: |\Z)"
    sentence = rf"(?:(?!{_WORD}*{end}){_WORD}+ )*{_WORD}*{_ENDING}"
    blank = rf"(?:.*{_ENDING} )?\W*{end}"
    pattern = rf"(?!{blank}){sentence}(?: {sentence}){_times(low, high)}"
    return language_of_pattern(pattern, f"a length of {_range(low, high)} sentences")


def choices(texts: Sequence[str], ignore_case: bool = False) -> Language:
    """One of these texts."""
    flag = "i" if ignore_case else ""
    return language_of_pattern(rf"(?{flag}:{'|'.join(map(re.escape, texts))})", f"a list of {len(texts)} choices")


def containing(word: str, joined_left: bool = False, joined_right: bool = False) -> Language:
    r"""The texts that hold a word, in upper or lower case, with no \w before or after it.

    Args:
        word: the word.
        joined_left, joined_right: whether a \w stands before the text, or after it.
    """
    return _containing([word], joined_left, joined_right)


def language_of(gap: Gap, left: str, right: str) -> Language:
    """All that a gap asks for, but for a length in tokens.

    Args:
        gap: what it asks for.
        left, right: the text around it.

    Raises:
        DataError: no text is all that it asks for, or its pattern is wrong or takes too large an automaton.
    """
    length = gap.length if gap.length and gap.length.unit != "tokens" else None
    joined = re.match(r"\w", left[-1:]) is not None, re.match(r"\w", right) is not None
    try:
        language = _language(length, gap.choices, gap.pattern, gap.must, gap.forbid, *joined)
    except DataError as error:
        raise DataError(f"{gap.label}: {error}") from None
    if language.is_empty:
        raise DataError(f"{gap.label}: no text can be all that is asked for")
    return language


@lru_cache(maxsize=32)
def _language(
    length: GapLength | None,
    texts: tuple[str, ...],
    pattern: str | None,
    must: tuple[str, ...],
    forbid: tuple[str, ...],
    joined_left: bool,
    joined_right: bool,
) -> Language:
    spelled = {ord(character) for text in texts for character in text} | literals(pattern or "")
    language = anything(frozenset(code for code in spelled if re.match(f"[{_CODES}]", chr(code))))
    if length:
        units = {"words": words, "chars": characters, "sentences": sentences}
        language &= units[length.unit](length.low, length.high)
    if texts:
        language &= choices(texts)
    if pattern is not None:
        language &= matching(pattern)
    for word in must:
        language &= containing(word, joined_left, joined_right)
    if forbid:
        language &= ~_containing(forbid, joined_left, joined_right)
    return language


def _containing(any_of: Sequence[str], joined_left: bool, joined_right: bool) -> Language:
    r"""The texts that hold one of these words at least."""
    before = r"(?<=\W)" if joined_left else r"(?<!\w)"
    after = r"(?=\W)" if joined_right else r"(?!\w)"
    pattern = rf"(?s:.)*{before}(?i:{'|'.join(map(re.escape, any_of))}){after}(?s:.)*"
    return language_of_pattern(pattern, f"the list of words {', '.join(any_of)[:60]!r}")


def _times(low: int, high: int) -> str:
    """How often a part comes after the first."""
    return f"{{{low - 1},{high - 1}}}"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
