"""Questions about the tokens of a text of any length, put in windows and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from textdiff.infiller.asking import Answers, Row, ask
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


def read(
    infiller: Infiller,
    ids: Sequence[int],
    questions: Sequence[Question],
    stride: int | None,
    clean: bool = False,
    ends: tuple[bool, bool] = (True, True),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Answers:
    """Asks about tokens of a text.

    Args:
        infiller: whose model.
        ids: the text.
        questions: rising, about tokens that can be written.
        stride: see `score`.
        clean: whether the model reads clean windows, and answers all questions about one at once.
        ends: whether the text begins a document, and whether it ends one.
        on_progress: called with the number of questions that are answered, and that there are.

    Returns:
        The answers, sorted by their places in `ids`.
    """
    prefix = infiller.tokenizer.prefix_ids if ends[0] else []
    framed = [*prefix, *ids, *(infiller.tokenizer.suffix_ids if ends[1] else [])]
    shifted = [(token + len(prefix), stop + len(prefix)) for token, stop in questions]
    found: list[Answers] = []
    done = 0
    for answers in ask(
        infiller.model, infiller.tokenizer, _rows(framed, shifted, infiller.context_length, stride, clean)
    ):
        found.append(answers)
        done += len(answers.places)
        on_progress(done, len(questions))
    columns = [torch.cat(values) for values in zip(*(vars(answers).values() for answers in found), strict=True)]
    order = columns[0].argsort()
    places, *others = (column[order] for column in columns)
    return Answers(places - len(prefix), *others)


def _rows(
    ids: Sequence[int], questions: Sequence[Question], context_length: int, stride: int | None, clean: bool
) -> Iterator[Row]:
    """The rows, window by window."""
    at = 0
    for start, stop, _, last in windows(len(ids), context_length):
        mine: list[Question] = []
        while at < len(questions) and questions[at][0] < last:
            mine.append(questions[at])
            at += 1
        shown = ids[start:stop]
        if clean and mine:
            yield Row(shown, [token - start for token, _ in mine], (), start)
            continue
        for together in apart(mine, stride):
            asked = [token - start for token, _ in together]
            hidden = [i - start for token, end in together for i in range(token, end)]
            yield Row(shown, asked, hidden, start)


def windows(length: int, context_length: int) -> list[tuple[int, int, int, int]]:
    """Windows that overlap by half, as (start, stop, first, last).

    The tokens first … last - 1 are read in the window start … stop - 1. These parts share the text out, and each has a
    quarter of the context on both sides, or the end of the text.
    """
    if length <= context_length:
        return [(0, length, 0, length)]
    starts = [*range(0, length - context_length, max(1, context_length // 2)), length - context_length]
    cuts = [0, *((a + b + context_length) // 2 for a, b in zip(starts, starts[1:], strict=False)), length]
    return [
        (start, start + context_length, first, last) for start, first, last in zip(starts, cuts, cuts[1:], strict=False)
    ]


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
