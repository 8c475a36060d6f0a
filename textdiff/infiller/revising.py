"""Rewriting the words of an existing text that fit their places least."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from textdiff.errors import DataError, UsageError
from textdiff.infiller.infiller import Infiller
from textdiff.infiller.manuscript import Excerpt, Manuscript
from textdiff.infiller.protecting import Protection, begins_sentence
from textdiff.infiller.reading import LONGEST
from textdiff.infiller.scoring import STRIDE, Scored, Scorer, Watch
from textdiff.text.document import Document, Span
from textdiff.text.located import WORD, locate
from textdiff.text.utf8 import decode

LOOKS = 8
"""Words that a round looks at, at least."""
MARGIN = 6.0
"""Nats of suspicion that an edit must take away."""
_AGAIN = 8  # words and runs of punctuation on each side of an edit that are looked at anew


@dataclass(frozen=True)
class Place:
    """A word that was looked at.

    Attributes:
        start_byte, end_byte: its bytes in the source.
        text: the word.
        log_likelihood, suspicion: what it was doubted for; see `Scored`.
        replacement: the word that the model would write instead; "" where it had none.
        gain: by how many nats the text would be likelier with it, all else being as it is by then; NaN where it had none.
        relief: how much less suspicious it is than the word, nats; NaN where it had none.
        kept: whether it has been put in.
    """

    start_byte: int
    end_byte: int
    text: str
    log_likelihood: float
    suspicion: float
    replacement: str = ""
    gain: float = math.nan
    relief: float = math.nan
    kept: bool = False


@dataclass(frozen=True)
class ReviseResult:
    """A revised text.

    Attributes:
        document: its text.
        places: the words that were looked at, in their order.
        words: how many there were to choose from.
        doubtful: how many of these had a probability below the limit.
        margin: what an edit had to gain, nats.
        model: the model's name.
        seed: the seed that gives this result again.
        seconds: what it took.
    """

    document: str
    places: tuple[Place, ...]
    words: int
    doubtful: int
    margin: float
    model: str
    seed: int
    seconds: float

    @property
    def edits(self) -> tuple[Place, ...]:
        """What was changed."""
        return tuple(place for place in self.places if place.kept)


def revise(
    infiller: Infiller,
    data: bytes,
    *,
    edits: int = 5,
    below: float = 1.0,
    margin: float = MARGIN,
    seed: int = 0,
    stride: int | None = STRIDE,
    protection: Protection | None = None,
    on_progress: Watch | None = None,
) -> ReviseResult:
    """Rewrites the words that fit their places least: puts them back to noise, and lets them settle in context.

    A round takes the most suspicious words (`Scored.suspicion`), `LOOKS` of them or as many as there may be edits. Each is
    filled as a gap of one word in a copy of the text. The edit that relieves most suspicion is made first, and others
    after it as long as they still relieve `margin`. Besides, each must make the whole text likelier, by a gain of
    log p(new word | the rest) - log p(old word | the rest), which is exact. Rounds go on until there are `edits`, or one
    brings none.

    A word stays one word, and the case of a sentence's first letter stays. All other bytes stay as they are.

    Args:
        infiller: the model.
        data: UTF-8.
        edits: how many words to change at most.
        below: words with at least this probability are not looked at.
        margin: nats of suspicion. With the packaged model and 6, in good prose 27 of 1,000 words would be changed if there
            were no limit to the edits, with 8 it would be 7.
        seed: any integer.
        stride: of the scores by which words are found; see `score`.
        protection: what must stay; see `Protection` for the default.
        on_progress: called while the text is scored at the beginning.

    Raises:
        DataError: the text is empty or not UTF-8, or has no word that may be replaced.
        UsageError: an option is out of its range.
    """
    check_options(edits, below, margin)
    began = time.perf_counter()
    if not decode(data, 0, len(data)).strip():
        raise DataError("there is no text to revise: the document is empty")
    text = Manuscript.of(data, (protection or Protection()).of(data), infiller.tokenizer)
    if not text.free:
        raise DataError("there is nothing to revise: the document has no word that is not protected")
    text.note(Scorer(infiller, stride, on_progress).words(text.located))
    scorers = Scorer(infiller, stride), Scorer(infiller, None)
    editor = _Editor(infiller, *scorers, text, list(text.spans), set(text.free), below, margin, seed)
    doubtful = len(editor.doubted())
    while edits > 0 and (made := editor.round(edits)):
        edits -= len(made)
        editor.look_again(made)
    places = tuple(editor.places[i] for i in sorted(editor.places))
    seconds = time.perf_counter() - began
    return ReviseResult(text.data.decode(), places, len(text.free), doubtful, margin, infiller.name, seed, seconds)


def check_options(edits: int, below: float, margin: float) -> None:
    """Raises a UsageError if an option of `revise` is out of its range."""
    if edits < 1:
        raise UsageError(f"edits must be at least 1, got {edits}")
    if not 0 < below <= 1:
        raise UsageError(f"a probability to look below must be above 0 and at most 1, got {below}")
    if not 0 <= margin < math.inf:
        raise UsageError(f"the margin must be a number of nats of at least 0, got {margin}")


@dataclass
class _Editor:
    """The rounds of a revision.

    Attributes:
        scorer, exact: what finds words, and what weighs edits.
        sources: the bytes of each unit in the source.
        waiting: the units to look at.
        places: what has been looked at, by unit.
    """

    infiller: Infiller
    scorer: Scorer
    exact: Scorer
    text: Manuscript
    sources: list[tuple[int, int]]
    waiting: set[int]
    below: float
    margin: float
    seed: int
    places: dict[int, Place] = field(default_factory=dict)

    def doubted(self) -> list[int]:
        """The words to look at, the most suspicious first."""
        scores = self.text.scores
        likely = {i for i in scores if math.exp(scores[i].log_likelihood) >= self.below}
        return sorted(self.waiting & scores.keys() - likely, key=lambda i: (-scores[i].suspicion, i))

    def round(self, edits: int) -> list[int]:
        """Looks at the most suspicious words and makes edits; returns which."""
        scores = self.text.scores
        doubted = self.doubted()[: max(LOOKS, edits)]
        self.waiting -= set(doubted)
        for i, word in zip(doubted, self._proposals(doubted), strict=True):
            score = scores[i]
            self.places[i] = self._weighed(
                i, Place(*self.sources[i], self.text.text(i), score.log_likelihood, score.suspicion, word)
            )
        made: list[int] = []
        for i in sorted(filter(self.better, doubted), key=lambda i: (-self.places[i].relief, i)):
            if made:  # the text is another one by now
                self.places[i] = self._weighed(i, self.places[i])
            if self.better(i) and len(made) < edits:
                self.text.put(i, self.places[i].replacement)
                self.places[i] = replace(self.places[i], kept=True)
                made.append(i)
        return made

    def better(self, i: int) -> bool:
        """Whether the replacement of a place is worth an edit."""
        return self.places[i].relief >= self.margin and self.places[i].gain > 0

    def look_again(self, made: Sequence[int]) -> None:
        """Scores the words around edits anew."""
        for i in made:
            excerpt = self.text.excerpt(i, self.infiller.context_length // 2)
            near = range(i - _AGAIN, i + _AGAIN + 1)
            start = self.text.spans[i][0] - len(excerpt.left.encode())
            located = locate(excerpt.left + excerpt.word + excerpt.right, self.infiller.tokenizer, excerpt.ends[0])
            self.text.note(self.scorer.words(located, excerpt.ends), start, near)
            self.waiting |= {j for j in near if j in self.text.free and not (j in self.places and self.places[j].kept)}

    def _proposals(self, units: Sequence[int]) -> list[str]:
        """For each unit the word that the model writes in its place; "" where that is no other word."""
        excerpts = [self.text.excerpt(i, self.infiller.context_length) for i in units]
        words = fill_words(self.infiller, excerpts, self.seed) if excerpts else []
        return [_fitted(word, excerpt) for word, excerpt in zip(words, excerpts, strict=True)]

    def _weighed(self, i: int, place: Place) -> Place:
        """A place with what its replacement brings in the text as it is now."""
        if not place.replacement:
            return place
        excerpt = self.text.excerpt(i, max(1, self.infiller.context_length // 2 - LONGEST))
        old, new = (score_of(replace(excerpt, word=w), self.exact) for w in (excerpt.word, place.replacement))
        gain, relief = new.log_likelihood - old.log_likelihood, old.suspicion - new.suspicion
        return replace(place, gain=gain, relief=relief)


def score_of(excerpt: Excerpt, scorer: Scorer) -> Scored:
    """The score of its word, given the rest of it."""
    located = locate(excerpt.left + excerpt.word + excerpt.right, scorer.infiller.tokenizer, excerpt.ends[0])
    return scorer.words(located, excerpt.ends, len(excerpt.left.encode()))[0]


def fill_words(infiller: Infiller, excerpts: Sequence[Excerpt], seed: int) -> list[str]:
    """One word for each excerpt, in the place of its own."""
    documents = []
    for excerpt in excerpts:
        start = len(excerpt.left.encode())
        span = Span(start, start + len(excerpt.word.encode()), pattern=WORD)
        documents.append(Document.with_spans((excerpt.left + excerpt.word + excerpt.right).encode(), [span]))
    return [result.gaps[0].text for result in infiller.infill(documents, seed=seed, score=False)]


def _fitted(word: str, excerpt: Excerpt) -> str:
    """A proposal as it may stand in the text: with the case of a sentence's first letter; "" if it is no other word."""
    if re.fullmatch(WORD, word) is None:
        return ""
    old = excerpt.word
    if len(old) > 1 and old.isupper():
        word = word.upper()
    elif begins_sentence(excerpt.left):
        word = (word[0].upper() if old[0].isupper() else word[0].lower()) + word[1:]
    return "" if word.casefold() == old.casefold() or re.fullmatch(WORD, word) is None else word
