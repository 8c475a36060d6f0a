"""A text as tokens and words, each with the bytes that it stands for."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from textdiff.text.tokenizer import Tokenizer

# Python's \w knows no marks that belong to the letter before them, as Hindi, Hebrew and decomposed accents have them.
_LETTER = r"[\w\u0300-\u036f\u0591-\u05bd\u064b-\u0652\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u200c\u200d]"
WORD = rf"{_LETTER}+(?:['’\-]{_LETTER}+)*"
"""What counts as a word: letters and digits, with apostrophes and hyphens between them."""

_UNIT = re.compile(rf"{WORD}|(?:(?!{_LETTER})\S)+")


@dataclass(frozen=True)
class Word:
    """A word, or a run of punctuation; several of them where one token holds parts of each.

    Attributes:
        start_byte, end_byte: its bytes in the text, no space around it.
        first, last: its tokens first … last - 1.
    """

    start_byte: int
    end_byte: int
    first: int
    last: int


@dataclass(frozen=True)
class Located:
    """The tokens of a text.

    Attributes:
        data: the text's bytes.
        ids: its tokens.
        ends: for each token the byte after its last one. Each begins where the one before it ends, so that the tokens
            share the text out among them: a space belongs to the word after it, what ends the text to the last token.
    """

    data: bytes
    ids: list[int]
    ends: list[int]

    def span(self, token: int) -> tuple[int, int]:
        """The bytes of a token; none for the further tokens of one character."""
        return (self.ends[token - 1] if token else 0), self.ends[token]

    def words(self) -> list[Word]:
        """The words in their order. Between two of them there is nothing but whitespace."""
        words: list[Word] = []
        for start, stop in units_of(self.data):
            first, last = bisect_left(self.ends, start + 1), bisect_left(self.ends, stop) + 1
            while last < len(self.ids) and self.ends[last] == self.ends[last - 1]:
                last += 1
            if words and first < words[-1].last:
                start, first = words[-1].start_byte, words[-1].first
                words.pop()
            words.append(Word(start, stop, first, last))
        return words if self.ids else []


def locate(text: str, tokenizer: Tokenizer, start: bool = True) -> Located:
    """Encodes a text; see `Tokenizer.encode` for `start`.

    Raises:
        DataError: the tokenizer cannot write the text.
    """
    data = text.encode()
    ids = tokenizer.encode(text, start)
    pieces = [tokenizer.pieces[i] for i in ids]
    joined = b"".join(pieces)
    if joined in (data, b" " + data):
        spare = len(joined) - len(data)  # the space that some tokenizers write before a document's first word
        return Located(data, ids, [max(0, end - spare) for end in accumulate(map(len, pieces))])
    # Some tokenizers change letters or drop spaces: they say themselves where their tokens come from.
    ids, characters = tokenizer.encode_with_ends(text, start)
    offsets = [0, *accumulate(len(character.encode()) for character in text)]
    ends = [offsets[end] for end in accumulate(characters, max)]
    return Located(data, ids, [*ends[:-1], len(data)] if ends else [])


def units_of(data: bytes) -> Iterator[tuple[int, int]]:
    """The bytes of each word and each run of punctuation in a text in UTF-8, whatever its tokens are."""
    text = data.decode()
    at = start = 0
    for unit in _UNIT.finditer(text):
        start += len(text[at : unit.start()].encode())
        stop = start + len(unit[0].encode())
        yield start, stop
        start, at = stop, unit.end()
