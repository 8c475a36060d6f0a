"""A text whose words are being replaced."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from textdiff.infiller.scoring import Scored
from textdiff.text.located import WORD, Located, locate, units_of
from textdiff.text.tokenizers import Tokenizer

Range = tuple[int, int]


@dataclass(frozen=True)
class Excerpt:
    """A unit of a text with some of its surroundings.

    Attributes:
        left, word, right: the texts before it, of it, and after it.
        ends: whether the text begins with `left`, and whether it ends with `right`.
    """

    left: str
    word: str
    right: str
    ends: tuple[bool, bool]


@dataclass
class Manuscript:
    """A text at work. Its units, words and runs of punctuation, are counted: a word stays one, whatever takes its place.

    Attributes:
        data: the text.
        spans: the bytes of each unit.
        free: the units that are words and may be replaced.
        scores: what is known of the units that are words for the model too.
    """

    data: bytes
    spans: list[Range]
    free: frozenset[int]
    tokenizer: Tokenizer
    located: Located
    scores: dict[int, Scored] = field(default_factory=dict)

    @staticmethod
    def of(data: bytes, protected: Sequence[Range], tokenizer: Tokenizer) -> Manuscript:
        """A text in UTF-8, and the ranges of bytes that must stay, rising and apart."""
        spans = list(units_of(data))
        stops = [stop for _, stop in protected]
        free = set()
        for i, (start, stop) in enumerate(spans):
            after = bisect_right(stops, start)
            clear = after == len(protected) or stop <= protected[after][0]
            if clear and re.fullmatch(WORD, data[start:stop].decode()):
                free.add(i)
        return Manuscript(data, spans, frozenset(free), tokenizer, locate(data.decode(), tokenizer))

    def text(self, i: int) -> str:
        """What a unit says."""
        start, stop = self.spans[i]
        return self.data[start:stop].decode()

    def note(self, scored: Iterable[Scored], shift: int = 0, among: range | None = None) -> None:
        """Keeps the scores of a part of the text that begins at byte `shift`, of all units or of some."""
        starts = [start for start, _ in self.spans]
        for word in scored:
            span = word.start_byte + shift, word.end_byte + shift
            i = bisect_left(starts, span[0])
            if word.known and i < len(starts) and self.spans[i] == span and (among is None or i in among):
                self.scores[i] = word

    def put(self, i: int, word: str) -> None:
        """Puts a word in the place of a unit."""
        start, stop = self.spans[i]
        self.data = self.data[:start] + word.encode() + self.data[stop:]
        longer = len(word.encode()) - (stop - start)
        self.spans[i:] = [(start, stop + longer), *((a + longer, b + longer) for a, b in self.spans[i + 1 :])]
        self.located = locate(self.data.decode(), self.tokenizer)

    def excerpt(self, i: int, reach: int) -> Excerpt:
        """A unit with up to `reach` tokens on each side, no unit cut."""
        ends = self.located.ends
        start, stop = self.spans[i]
        first, last = bisect_left(ends, start + 1) - reach, bisect_left(ends, stop) + reach
        left, right = 0, len(self.data)
        if first > 0:
            near = bisect_left(self.spans, (ends[first - 1], 0))
            left = self.spans[min(i, near) - 1][1] if min(i, near) else 0
        if last < len(ends):
            near = bisect_right(self.spans, ends[last], key=lambda span: span[1]) - 1
            right = self.spans[max(i, near)][1]
        before, word, after = (self.data[a:b].decode() for a, b in ((left, start), (start, stop), (stop, right)))
        return Excerpt(before, word, after, (left == 0, right == len(self.data)))
