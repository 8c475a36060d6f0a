"""What a half-written canvas looks like: settled tokens as text, noise as it stands, what is new highlighted."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from rich.text import Text

from textdiff.cli.visible import visible

if TYPE_CHECKING:
    from textdiff.infiller.writing import Progress
    from textdiff.text.document import Document
    from textdiff.text.layout import Layout, Slot
    from textdiff.text.tokenizers import Tokenizer

# Without colours they still differ.
GIVEN, NOISE, FRESH, WRITTEN = "", "dim", "bold reverse green", "bold green"
HOLE = "░"
_AROUND = 200
"""Characters of given text that are shown on either side of a gap, where there is room."""
_LEAST_AROUND = 24
_Place = tuple[int, int]
"""A draft's number and a gap's."""


def spelled(tokenizer: Tokenizer, ids: Sequence[int], slot: Slot | None) -> str:
    """The text of tokens that stand side by side.

    Args:
        slot: the gap that they begin; None where something unknown stands before them, or where there are no gaps.
    """
    return tokenizer.decode(ids) if slot is None else tokenizer.spelling.text(ids, slot.state)


def texts(
    tokenizer: Tokenizer, runs: Sequence[tuple[Sequence[int], bool]], slot: Slot | None = None, hole: str = HOLE
) -> list[str]:
    """What runs of tokens look like that stand side by side, each either noise or settled.

    Args:
        runs: (ids, whether they are noise).
        slot: the gap that they begin, if any.
        hole: what noise looks like that is no token.
    """
    shown: list[str] = []
    for noisy, neighbours in groupby(runs, key=lambda run: run[1]):
        parts = [list(ids) for ids, _ in neighbours]
        if noisy:  # tokens of noise have nothing to do with each other
            for ids in parts:
                alone = (spelled(tokenizer, [token], None if shown or i else slot) for i, token in enumerate(ids))
                shown.append("".join(text or hole for text in alone))
        else:
            shown += _apart(tokenizer, parts, None if shown else slot)
    return shown


def _apart(tokenizer: Tokenizer, parts: Sequence[list[int]], slot: Slot | None) -> list[str]:
    """What each of several parts adds to their text. A character of several parts belongs to the first of them."""
    *starts, whole = (spelled(tokenizer, ids, slot) for ids in accumulate(parts))
    ends = [len(start) for start in starts]  # what is incomplete yet counts as the one character that it will be
    return [whole[a:b] for a, b in zip([0, *ends], [*ends, len(whole)], strict=True)]


class SlotsAtWork:
    """The slots that a batch writes and whose text is taken from there, found by row."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._of_row: dict[int, list[Slot]] = {}

    def of(self, layout: Layout, progress: Progress) -> Iterator[tuple[Slot, int]]:
        """Each slot with the place of its row in the batch."""
        if layout is not self._layout:
            self._layout, self._of_row = layout, {}
            for slot in layout.slots:
                if slot.kept:
                    self._of_row.setdefault(slot.row, []).append(slot)
        for place, row in enumerate(progress.rows.tolist()):
            yield from ((slot, place) for slot in self._of_row.get(row, []))


class _Painter:
    """Draws tokens, and remembers how each of them looked the last time.

    Tokens that are settled when they are first seen are given ones, or else, where `all_free`, have just been written.
    """

    def __init__(self, tokenizer: Tokenizer, all_free: bool) -> None:
        self._tokenizer = tokenizer
        self._first = FRESH if all_free else GIVEN
        self._before: dict[tuple[Hashable, int], str] = {}

    def draw(self, text_of: Hashable, ids: Sequence[int], noisy: Sequence[bool], slot: Slot | None = None) -> Text:
        """The tokens of a text; `text_of`: what tells it from the others; `slot`: the gap that they fill."""
        looks = [self._style((text_of, i), noise) for i, noise in enumerate(noisy)]
        styles, runs, at = [], [], 0
        for style, run in groupby(looks):
            count = len([*run])
            styles.append(style)
            runs.append((ids[at : at + count], style == NOISE))
            at += count
        text = Text()
        for style, shown in zip(styles, texts(self._tokenizer, runs, slot), strict=True):
            text.append(_plain(shown), style)
        return text

    def _style(self, place: tuple[Hashable, int], noisy: bool) -> str:
        before = self._before.get(place)
        settled = {None: self._first, NOISE: FRESH, FRESH: WRITTEN, WRITTEN: WRITTEN, GIVEN: GIVEN}
        style = NOISE if noisy else settled[before]
        self._before[place] = style
        return style


class DocumentScene:
    """The gaps that a batch works on, in the text around them.

    Attributes:
        total: how many gaps the documents have.
    """

    def __init__(self, documents: Sequence[Document], tokenizer: Tokenizer) -> None:
        self.total = sum(len(document.gaps) for document in documents)
        self._given = {
            (number, gap): texts for number, document in enumerate(documents) for gap, texts in _given(document)
        }
        self._painter = _Painter(tokenizer, all_free=True)
        self._slots = SlotsAtWork()
        self._noisy: dict[_Place, bool] = {}

    @property
    def done(self) -> int:
        """How many gaps have no noise any more."""
        return sum(not noisy for noisy in self._noisy.values())

    def draw(self, layout: Layout, progress: Progress, room: int = 100_000) -> Text:
        """The picture at this moment.

        Args:
            room: characters that can be seen at once; about as many are drawn on either side of the first noise.
        """
        ids, noisy = progress.event.ids.tolist(), progress.event.noisy.tolist()
        gaps: dict[_Place, Text] = {}
        for slot, row in self._slots.of(layout, progress):
            here, gap = slice(slot.start, slot.stop), (slot.draft, slot.gap)
            gaps[gap] = self._painter.draw(gap, ids[row][here], noisy[row][here], slot)
            self._noisy[gap] = any(noisy[row][here])
        return self._assemble(gaps, room)

    def _assemble(self, gaps: dict[_Place, Text], room: int) -> Text:
        order = sorted(gaps)
        around = max(_LEAST_AROUND, min(_AROUND, room // (2 * len(order) or 1)))
        first = next((i for i, gap in enumerate(order) if self._noisy[gap]), len(order))

        def chunk(gap: _Place) -> Text:
            return self._chunk(gap, gaps, around, last=gap == order[-1])

        before, after = _enough(map(chunk, order[:first][::-1]), room), _enough(map(chunk, order[first:]), room)
        return Text().join([*reversed(before), *after])

    def _chunk(self, gap: _Place, gaps: dict[_Place, Text], around: int, last: bool) -> Text:
        """A gap with the text before it, and with the text after it where no gap follows that is shown too."""
        number, index = gap
        left, right = self._given[gap]
        chunk = Text(excerpt(left, (number, index - 1) in gaps, True, around))
        chunk.append_text(gaps[gap])
        if (number, index + 1) not in gaps:
            chunk.append(excerpt(right, True, False, around))
            chunk.append("" if last or chunk.plain.endswith("\n") else "\n")
        return chunk


class SampleScene:
    """Texts that are being generated, one under the other."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._painter = _Painter(tokenizer, all_free=False)

    def draw(self, progress: Progress) -> Text:
        """The picture at this moment."""
        event = progress.event
        rows = zip(progress.rows.tolist(), event.ids.tolist(), event.noisy.tolist(), strict=True)
        pictures = [self._painter.draw(row, ids, noisy) for row, ids, noisy in rows]
        return Text("\n---\n").join(pictures)


def excerpt(text: str, after: bool, before: bool, around: int = _AROUND) -> str:
    """The part of a given text that is near gaps: its start where it stands after one, its end where before one."""
    if not (after or before):
        return ""
    head, left_out, tail = near_gaps(text, after, before, around)
    return _plain(" ".join(filter(None, [head, "…", tail])) if left_out else head + tail)


def near_gaps(text: str, after: bool, before: bool, around: int) -> tuple[str, str, str]:
    """A given text in three: what is near the gap before it, what is far from gaps, what is near the gap after it.

    Args:
        after, before: whether the text stands after a gap, before a gap.
        around: characters at most near a gap; words are not cut, where there are any.
    """
    if len(text) <= around * (after + before):
        return text, "", ""
    head, tail = text[: around * after], text[len(text) - around * before :]
    if (cut := re.search(r"\s\S*\Z", head)) and cut.start() > around // 2:
        head = head[: cut.start()]
    if (cut := re.match(r"\S*\s", tail)) and cut.end() < around // 2:
        tail = tail[cut.end() :]
    return head, text[len(head) : len(text) - len(tail)], tail


def _given(document: Document) -> Iterator[tuple[int, tuple[str, str]]]:
    """Each gap's number with the given texts to its left and right, empty beside another gap."""
    from textdiff.text.document import Gap

    parts = [None, *document.parts, None]
    for left, part, right in zip(parts, parts[1:], parts[2:], strict=False):
        if isinstance(part, Gap):
            yield part.index, ("" if left is None or isinstance(left, Gap) else left.text,
                               "" if right is None or isinstance(right, Gap) else right.text)  # fmt: skip


def _enough(chunks: Iterable[Text], room: int) -> list[Text]:
    """The first of the chunks, until they fill the room."""
    drawn: list[Text] = []
    for chunk in chunks:
        drawn.append(chunk)
        room -= len(chunk)
        if room <= 0:
            break
    return drawn


def _plain(text: str) -> str:
    return visible(text).replace("\r", "")
