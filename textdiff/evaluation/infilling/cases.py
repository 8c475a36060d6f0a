"""Gap cases: documents with holes, and the texts that stood there."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from textdiff.errors import DataError, UsageError, nearest
from textdiff.evaluation.infilling.spans import Span, sentence_at, words_at
from textdiff.text.document import Document, Gap, GapLength, Text

KINDS = ("word", "words", "sentence", "several")
"""One word; 2 to 12 words; a sentence; 2 to 4 gaps of 1 to 4 words near each other."""

WORDS = (2, 12)
SENTENCE = (4, 30)
GAPS = (2, 4)
GAP_WORDS = (1, 4)
APART = (1, 8)
CONTEXT = 320
_ATTEMPTS = 500


@dataclass(frozen=True)
class GapCase:
    """A document whose gaps have known texts.

    Attributes:
        kind: of `KINDS`, or "given" where a file says what stands in the gap.
        given: the texts around the gaps, one more than there are gaps; some may be empty.
        references: for each gap what may stand there; the first is the true text, where a length is taken from it.
    """

    kind: str
    given: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    @property
    def truth(self) -> tuple[str, ...]:
        """The first reference of each gap."""
        return tuple(texts[0] for texts in self.references)

    def filled(self, texts: Sequence[str]) -> str:
        """The document with these texts in its gaps."""
        return self.given[0] + "".join(a + b for a, b in zip(texts, self.given[1:], strict=True))

    def document(self, lengths: Sequence[GapLength | None]) -> Document:
        """The document to fill, each gap asking for a length or for none."""
        parts: list[Text | Gap] = [Text(self.given[0], self.given[0])]
        for index, (length, after) in enumerate(zip(lengths, self.given[1:], strict=True)):
            parts += [Gap(index, None, length, _markup(length)), Text(after, after)]
        return Document(tuple(part for part in parts if isinstance(part, Gap) or part.text))


def _markup(length: GapLength | None) -> str:
    return "[MASK]" if length is None else f"[MASK: {length.low}-{length.high} {length.unit}]"


def check_kind(kind: str) -> None:
    """Raises UsageError where there is no such kind of gap."""
    if kind not in KINDS:
        raise UsageError(f"no kind of gap is named {kind!r}.{nearest(kind, KINDS)} Known: {', '.join(KINDS)}")


def make_cases(
    texts: Sequence[str], kind: str, count: int, seed: int = 0, context: int = CONTEXT, words: Span = WORDS
) -> list[GapCase]:
    """Cuts gaps out of texts.

    Case i depends on the texts, the kind, the seed and i only: asking for fewer gives the first of them. A place is drawn
    uniformly from all characters; the gap begins at the next word or sentence there. Gaps of different cases are disjoint.

    Args:
        texts: documents; some text is needed on both sides of a gap.
        kind: of `KINDS`.
        count: how many.
        seed: any integer.
        context: characters of the text that are shown on either side of the gaps, cut back to whole words.
        words: the least and the greatest number of words, of the kind "words".

    Raises:
        DataError: the texts have no room for so many gaps.
        UsageError: an unknown kind.
    """
    check_kind(kind)
    ends = [*accumulate(map(len, texts))]
    if not ends or not ends[-1]:
        raise DataError("there is no text to cut gaps out of")
    used: list[list[Span]] = [[] for _ in texts]
    cases: list[GapCase] = []
    for index in range(count):
        chance = random.Random(f"{seed}/{kind}/{index}")
        size = words[0] + index % (words[1] - words[0] + 1)
        for _ in range(_ATTEMPTS):
            place = chance.randrange(ends[-1])
            number = bisect_right(ends, place)
            text = texts[number]
            spans = _spans(text, place - ends[number] + len(text), kind, size, chance)
            case = _case(text, spans, kind, context) if spans and not _meet(spans, used[number]) else None
            if case is not None:
                used[number] += spans
                cases.append(case)
                break
        else:
            raise DataError(f"the texts have room for no more than {len(cases)} cases of the kind {kind!r}")
    return cases


def _meet(spans: Sequence[Span], used: Sequence[Span]) -> bool:
    """Whether a span has characters in common with one that is used."""
    return any(a < stop and start < b for a, b in used for start, stop in spans)


def _spans(text: str, start: int, kind: str, words: int, chance: random.Random) -> list[Span]:
    """The gaps of a case whose first one begins at or after `start`; none where they do not fit there."""
    if kind == "sentence":
        found = [sentence_at(text, start, *SENTENCE)]
    elif kind == "word":
        found = [words_at(text, start, 1)]
    elif kind == "words":
        found = [words_at(text, start, words)]
    else:
        found = _several(text, start, chance)
    return [span for span in found if span] if all(found) else []


def _several(text: str, start: int, chance: random.Random) -> list[Span | None]:
    """Some gaps with a few given words between each two."""
    found: list[Span | None] = []
    for _ in range(chance.randint(*GAPS)):
        words, apart = chance.randint(*GAP_WORDS), chance.randint(*APART)
        span = words_at(text, start, words)
        found.append(span)
        between = words_at(text, span[1], apart) if span else None
        if between is None:
            return [None]
        start = between[1]
    return found


def _case(text: str, spans: Sequence[Span], kind: str, context: int) -> GapCase | None:
    """The gaps with what stands around and between them; None where a side has no word."""
    first, last = spans[0][0], spans[-1][1]
    start, stop = max(0, first - context), min(len(text), last + context)
    while 0 < start < first and not text[start - 1].isspace():
        start += 1
    while last < stop < len(text) and not text[stop].isspace():
        stop -= 1
    left, right = text[start:first].lstrip(), text[last:stop].rstrip()
    if not any(map(str.isalnum, left)) or not any(map(str.isalnum, right)):
        return None
    between = [text[a[1] : b[0]] for a, b in pairwise(spans)]
    return GapCase(kind, (left, *between, right), tuple((text[a:b],) for a, b in spans))
