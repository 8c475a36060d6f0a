"""How likely each token, word or line of an existing text is, given all the rest of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from torch import Tensor

from textdiff.errors import DataError, UsageError
from textdiff.infiller.asking import ask, commonness, reads_clean
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.reading import Question, rows_of, whole_words
from textdiff.text.located import Located, Word, locate
from textdiff.text.utf8 import decode

By = Literal["token", "word", "line"]
Watch = Callable[[int, int], None]

STRIDE = 16
"""Tokens from one hidden place of a row to the next; see `score`."""


@dataclass(frozen=True)
class Scored:
    """A token, a word or a line, and how well it fits its place. What the model cannot write has no figures.

    Attributes:
        text: what it says; U+FFFD for a token that is a part of a character.
        start_byte, end_byte: its bytes in the text.
        log_likelihood: log-probability given everything else, nats. Of a word: of its tokens one after the other, given how
            many there are. Of a line: the sum over its words. NaN if it has no figures.
        suspicion: how far `log_likelihood` is below half of the log-probability that the token has where nothing else is
            known: what is rare is unlikely everywhere. Of a word: the sum over its k tokens, divided by the root of k, as
            sums of k terms spread so much wider. Of a line: that of its worst word. Slips are found better by it than by
            the likelihood alone. NaN if there are no figures.
        rank: the place of the token among all tokens by probability, from 1; else the worst of the parts; 0 if there is none.
        first_choice: the token that the model would write here, or with which it would begin the word; "" for a line.
        parts: the tokens of a word, the words of a line.
    """

    text: str
    start_byte: int
    end_byte: int
    log_likelihood: float = math.nan
    suspicion: float = math.nan
    rank: int = 0
    first_choice: str = ""
    parts: tuple[Scored, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it has figures."""
        return self.rank > 0


@dataclass(frozen=True)
class ScoreResult:
    """A scored text.

    Attributes:
        by: what the units are.
        units: in their order. Tokens share the bytes of the text out among them, and so do lines; between words there is
            whitespace.
        log_likelihood: the sum over the units, nats. It is a pseudo-log-likelihood: every term is given all the others.
        bytes: of the text.
        scored, unscored: tokens that the model was asked about, and those that it cannot write.
        stride: of the rows; None where the scores are exact.
        seconds: what it took.
        model: the model's name.
    """

    by: By
    units: tuple[Scored, ...]
    log_likelihood: float
    bytes: int
    scored: int
    unscored: int
    stride: int | None
    seconds: float
    model: str

    @property
    def per_byte(self) -> float:
        """`log_likelihood` a byte, nats."""
        return self.log_likelihood / self.bytes


def score(
    infiller: Infiller, data: bytes, by: By = "word", stride: int | None = STRIDE, on_progress: Watch | None = None
) -> ScoreResult:
    """Scores a text.

    A token's score is log p(token | all others). A word's is log p(word | everything around it): its tokens are hidden
    together, and each is read with those before it back in place. Hidden one at a time they would give each other away,
    and a rare word of many pieces would look likely. Source: arXiv 2305.10588 (within-word left-to-right).

    A text longer than the model's context is read in windows that overlap by half, so that everything but the ends of the
    text has a quarter of the context on both sides. For tokens, a model of uniform or hybrid noise needs one look at each
    window (`asking.reads_clean`). Else each place is hidden in a row of its own, which is exact and slow; or, with a
    stride, together with places at least so many tokens away, whose text is then missing from the context. With the
    packaged model on prose the scores of tokens are off by 0.05 nats on average (0.1 root mean square) at a stride of 16,
    by 0.10 (0.16) at 8, by 0.03 (0.04) at 32, as often up as down; 1,000 tokens take some 5 seconds of one core at 16,
    and 36 exactly.

    Args:
        infiller: the model.
        data: UTF-8.
        by: what the units are.
        stride: at least 2, or None.
        on_progress: called with how many tokens are scored, and how many will be.

    Raises:
        DataError: the text is empty or not UTF-8, or the model's tokenizer can write nothing of it.
        UsageError: the stride is below 2, or the model reads from left to right.
    """
    began = time.perf_counter()
    text = decode(data, 0, len(data))
    if not text.strip():
        raise DataError("there is no text to score: the document is empty")
    located = locate(text, infiller.tokenizer)
    scorer = Scorer(infiller, stride, on_progress)
    units = scorer.tokens(located) if by == "token" else scorer.words(located)
    known = [unit for unit in units if unit.known]
    if not known:
        raise DataError("the model's tokenizer can write nothing of the text")
    exact = stride is None or (by == "token" and reads_clean(infiller.model))
    return ScoreResult(
        by,
        tuple(_lines(units, data) if by == "line" else units),
        math.fsum(unit.log_likelihood for unit in known),
        len(data),
        sum(len(unit.parts) or 1 for unit in known),
        sum(len(unit.parts) or 1 for unit in units if not unit.known),
        None if exact else stride,
        time.perf_counter() - began,
        infiller.name,
    )


@dataclass(frozen=True)
class Scorer:
    """Scores texts and parts of texts with one model.

    Attributes:
        infiller, stride: see `score`.
        on_progress: see `score`.
    """

    infiller: Infiller
    stride: int | None = STRIDE
    on_progress: Watch | None = None

    def __post_init__(self) -> None:
        self.infiller.require_both_sides()
        if self.stride is not None and self.stride < 2:
            raise UsageError(f"the stride must be at least 2, got {self.stride}")

    def tokens(self, located: Located) -> list[Scored]:
        """Every token of a text."""
        questions = [(token, token + 1) for token in range(len(located.ids))]
        return self._answered(located, questions, reads_clean(self.infiller.model), (True, True))

    def words(
        self, located: Located, ends: tuple[bool, bool] = (True, True), at_byte: int | None = None
    ) -> list[Scored]:
        """Every word of a text, or only the one at this byte.

        Args:
            located: the text.
            ends: whether it begins a document, and whether it ends one.
            at_byte: where the word is, or None.
        """
        words = [w for w in located.words() if at_byte is None or w.start_byte <= at_byte < w.end_byte]
        questions = whole_words(words, self.infiller.context_length)
        tokens = self._answered(located, questions, False, ends)
        return [_word(word, tokens, located.data) for word in words]

    @cached_property
    def _commonness(self) -> Tensor:
        return commonness(self.infiller.model, self.infiller.tokenizer)

    def _answered(
        self, located: Located, questions: Sequence[Question], clean: bool, ends: tuple[bool, bool]
    ) -> list[Scored]:
        """All tokens of a text, with figures where there is a question that can be answered."""
        tokenizer = self.infiller.tokenizer
        special = set(tokenizer.vocabulary.special_ids)
        questions = [question for question in questions if located.ids[question[0]] not in special]
        found = [Scored(_shown(located, i), *located.span(i)) for i in range(len(located.ids))]
        done = 0
        rows = rows_of(located.ids, questions, self.infiller, self.stride, clean, ends)
        for answers in ask(self.infiller.model, tokenizer, rows):
            ids = [located.ids[place] for place in answers.places.tolist()]
            suspicion = self._commonness[ids] / 2 - answers.log_p
            columns = (answers.places, answers.log_p, suspicion, answers.rank, answers.choice)
            for place, log_p, doubt, rank, choice in zip(*(column.tolist() for column in columns), strict=True):
                here = found[place]
                found[place] = Scored(
                    here.text, here.start_byte, here.end_byte, log_p, doubt, rank, tokenizer.decode([choice])
                )
            done += len(ids)
            if self.on_progress is not None:
                self.on_progress(done, len(questions))
        return found


def _shown(located: Located, token: int) -> str:
    start, stop = located.span(token)
    return located.data[start:stop].decode(errors="replace")


def _word(word: Word, tokens: Sequence[Scored], data: bytes) -> Scored:
    """A word, from its tokens."""
    parts = tuple(tokens[word.first : word.last])
    bare = Scored(data[word.start_byte : word.end_byte].decode(), word.start_byte, word.end_byte, parts=parts)
    if not all(part.known for part in parts):
        return bare
    log_p, suspicion = sum(p.log_likelihood for p in parts), sum(p.suspicion for p in parts) / math.sqrt(len(parts))
    rank = max(part.rank for part in parts)
    return replace(bare, log_likelihood=log_p, suspicion=suspicion, rank=rank, first_choice=parts[0].first_choice)


def _lines(words: Sequence[Scored], data: bytes) -> Iterator[Scored]:
    """The lines of a text, line ends included; a word belongs to the line in which it begins."""
    start = at = 0
    for line in data.splitlines(keepends=True):
        stop, first = start + len(line), at
        while at < len(words) and words[at].start_byte < stop:
            at += 1
        bare = Scored(line.decode(), start, stop, parts=tuple(words[first:at]))
        known = [word for word in bare.parts if word.known]
        if known:
            log_p, suspicion = sum(w.log_likelihood for w in known), max(w.suspicion for w in known)
            bare = replace(bare, log_likelihood=log_p, suspicion=suspicion, rank=max(w.rank for w in known))
        yield bare
        start = stop
