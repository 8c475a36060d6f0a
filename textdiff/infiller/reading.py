"""Questions about the tokens of a text of any length, put in windows and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from textdiff.infiller.asking import Row
from textdiff.infiller.infiller import Infiller
from textdiff.text.located import Word

Question = tuple[int, int]
"""A token to predict, and the end of what is hidden with it: the tokens question[0] … question[1] - 1."""

LONGEST = 8
"""Tokens of a word that are hidden together, at most; a longer one is read in pieces."""


def whole_words(words: Sequence[Word], context_length: int) -> list[Question]:
    """Each token of each word, hidden together with the tokens after it in the word."""
    longest = max(1, min(LONGEST, context_length // 4))
    return [
        (token, min(word.last, token - (token - word.first) % longest + longest))
        for word in words
        for token in range(word.first, word.last)
    ]


def rows_of(
    ids: Sequence[int],
    questions: Sequence[Question],
    infiller: Infiller,
    stride: int | None,
    clean: bool,
    ends: tuple[bool, bool] = (True, True),
) -> Iterator[Row]:
    """The rows in which a model is asked about the tokens of a text, window by window.

    Args:
        ids: the text. The rows' places are counted in it.
        questions: rising, about tokens that can be written.
        infiller: whose model.
        stride: see `apart`.
        clean: whether the model reads clean windows, and answers all questions about one at once.
        ends: whether the text begins a document, and whether it ends one.
    """
    tokenizer = infiller.tokenizer
    prefix, suffix = tokenizer.prefix_ids if ends[0] else [], tokenizer.suffix_ids if ends[1] else []
    framed, shift = [*prefix, *ids, *suffix], len(prefix)
    at = 0
    for start, stop, _, last in windows(len(framed), infiller.context_length):
        first = at
        while at < len(questions) and questions[at][0] + shift < last:
            at += 1
        mine = [(token + shift - start, end + shift - start) for token, end in questions[first:at]]
        for together in [mine] if clean and mine else apart(mine, stride):
            hidden = () if clean else [i for question in together for i in range(*question)]
            yield Row(framed[start:stop], [token for token, _ in together], hidden, start - shift)


def windows(length: int, context_length: int) -> list[tuple[int, int, int, int]]:
    """Windows that overlap by half, as (start, stop, first, last).

    The tokens first … last - 1 are read in the window start … stop - 1. These parts share the text out, and each has a
    quarter of the context on both sides, or the end of the text.
    """
    if length <= context_length:
        return [(0, length, 0, length)]
    starts = [*range(0, length - context_length, max(1, context_length // 2)), length - context_length]
    cuts = [0, *((a + b + context_length) // 2 for a, b in pairwise(starts)), length]
    return [(start, start + context_length, *part) for start, part in zip(starts, pairwise(cuts), strict=True)]


def apart(questions: Sequence[Question], stride: int | None) -> list[list[Question]]:
    """Questions sorted into rows, in each of which stride - 1 tokens at least are to be seen between two hidden places.

    With None, each has a row of its own.
    """
    if stride is None:
        return [[question] for question in questions]
    rows: list[list[Question]] = []
    for question in questions:
        row = next((row for row in rows if question[0] - row[-1][1] >= stride - 1), None)
        if row is None:
            rows.append(row := [])
        row.append(question)
    return rows
