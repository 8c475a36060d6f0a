"""What a half-written canvas looks like: settled tokens as text, noise as it stands, what is new highlighted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from textdiff.cli.visible import visible

if TYPE_CHECKING:
    from textdiff.infiller.writing import Progress
    from textdiff.text.document import Document
    from textdiff.text.layout import Layout, Slot
    from textdiff.text.tokenizers import Tokenizer

GIVEN, NOISE, FRESH, WRITTEN = "", "bright_black", "bold black on green", "bold green"
HOLE = "░"
_AROUND = 200
"""Characters of given text that are shown on either side of a gap."""


class _Painter:
    """Draws tokens, and remembers how each of them looked the last time.

    Tokens that are settled when they are first seen are given ones, or else, where `all_free`, have just been written.
    """

    def __init__(self, tokenizer: Tokenizer, all_free: bool) -> None:
        self._tokenizer = tokenizer
        self._first = FRESH if all_free else GIVEN
        self._before: dict[tuple[int, int], str] = {}

    def draw(self, row: int, start: int, ids: Sequence[int], noisy: Sequence[bool], healed: bool = False) -> Text:
        """The tokens at start, start + 1, … of a row; `healed`: the text before has the first token's space."""
        styles = [self._style((row, start + i), noise) for i, noise in enumerate(noisy)]
        text, at = Text(), 0
        for style, run in groupby(styles):
            count = len([*run])
            part = ids[at : at + count]
            shown = "".join(map(self._noise, part)) if style == NOISE else self._tokenizer.decode(part)
            text.append(_plain(shown.removeprefix(" ") if healed and not at else shown), style)
            at += count
        return text

    def _style(self, place: tuple[int, int], noisy: bool) -> str:
        before = self._before.get(place)
        settled = {None: self._first, NOISE: FRESH, FRESH: WRITTEN, WRITTEN: WRITTEN, GIVEN: GIVEN}
        style = NOISE if noisy else settled[before]
        self._before[place] = style
        return style

    def _noise(self, token: int) -> str:
        """Noise may be a mask, which is a hole, or a token like any other."""
        return self._tokenizer.decode([token]) or HOLE


class DocumentScene:
    """The gaps of a document in the text around them. Those of other batches are left out."""

    def __init__(self, document: Document, tokenizer: Tokenizer) -> None:
        self._document = document
        self._painter = _Painter(tokenizer, all_free=True)

    def draw(self, layout: Layout, progress: Progress) -> Text:
        """The picture at this moment."""
        place = {row: i for i, row in enumerate(progress.rows.tolist())}
        ids, noisy = progress.event.ids.tolist(), progress.event.noisy.tolist()
        gaps: dict[int, Text] = {}
        for slot in layout.slots:
            if slot.kept and slot.row in place:
                gaps[slot.gap] = self._gap(slot, ids[place[slot.row]], noisy[place[slot.row]])
        return self._assemble(gaps)

    def _gap(self, slot: Slot, ids: list[int], noisy: list[bool]) -> Text:
        here = slice(slot.start, slot.stop)
        return self._painter.draw(slot.row, slot.start, ids[here], noisy[here], slot.healed)

    def _assemble(self, gaps: dict[int, Text]) -> Text:
        from textdiff.text.document import Gap

        parts, picture = self._document.parts, Text()
        shown = [isinstance(part, Gap) and part.index in gaps for part in parts]
        for i, part in enumerate(parts):
            if isinstance(part, Gap):
                picture.append_text(gaps.get(part.index, Text()))
            else:
                after, before = i > 0 and shown[i - 1], i + 1 < len(parts) and shown[i + 1]
                picture.append(excerpt(part.text, after, before))
        return picture


class SampleScene:
    """Texts that are being generated, one under the other."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._painter = _Painter(tokenizer, all_free=False)

    def draw(self, progress: Progress) -> Text:
        """The picture at this moment."""
        event = progress.event
        rows = zip(progress.rows.tolist(), event.ids.tolist(), event.noisy.tolist(), strict=True)
        pictures = [self._painter.draw(row, 0, ids, noisy) for row, ids, noisy in rows]
        return Text("\n---\n").join(pictures)


def excerpt(text: str, after: bool, before: bool) -> str:
    """The part of a given text that is near gaps: its start where it stands after one, its end where before one."""
    if not (after or before):
        return ""
    if len(text) <= _AROUND * (after + before):
        return _plain(text)
    head = text[:_AROUND].rstrip() + " " if after else ""
    tail = " " + text[-_AROUND:].lstrip() if before else ""
    return _plain(f"{head}…{tail}")


def _plain(text: str) -> str:
    return visible(text).replace("\r", "")
