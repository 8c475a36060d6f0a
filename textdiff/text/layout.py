"""Outlines to canvas rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch

from textdiff.draws import Draws
from textdiff.errors import DataError
from textdiff.text.canvas import Canvas
from textdiff.text.outline import Outline
from textdiff.text.tokenizer import Tokenizer
from textdiff.text.windows import Window, cut_windows


@dataclass(frozen=True)
class Draft:
    """A stretch of a document that is to be written, with the sizes of its gaps.

    Attributes:
        outline: the stretch.
        seed: any integer.
        lengths: positions of each gap on the canvas.
        open: the gaps whose texts may be shorter: a given filler stands after their positions and says so.
        starts: the state of the tokenizer's spelling in which the text of each gap begins.
    """

    outline: Outline
    seed: int
    lengths: Sequence[int]
    starts: Sequence[int]
    open: Collection[int] = ()


@dataclass(frozen=True)
class Slot:
    """Where a gap stands on the canvas: at positions start … stop - 1 of a row.

    Attributes:
        draft, gap: which gap it is: a number of a draft, and of a gap among those of its outline.
        row, start, stop: its place.
        kept: whether its text is taken from here; else it is only context for other gaps (see `Window`).
        state: of the tokenizer's spelling, in which its text begins.
    """

    draft: int
    gap: int
    row: int
    start: int
    stop: int
    kept: bool
    state: int

    @property
    def text(self) -> tuple[int, slice]:
        """The index of the text's positions in a tensor [B, L]."""
        return self.row, slice(self.start, self.stop)


@dataclass(frozen=True)
class Row:
    """What a canvas row shows: bytes start_byte … stop_byte - 1 of the source of a draft's document."""

    draft: int
    start_byte: int
    stop_byte: int


@dataclass(frozen=True)
class Layout:
    """A canvas, and where the gaps of which drafts are on it."""

    canvas: Canvas
    slots: tuple[Slot, ...]
    rows: tuple[Row, ...]

    def renumbered(self, places: Sequence[tuple[int, Sequence[int]]]) -> Layout:
        """The same with other numbers: for each draft its new one, and those of its gaps."""
        slots = [replace(s, draft=places[s.draft][0], gap=places[s.draft][1][s.gap]) for s in self.slots]
        rows = [replace(row, draft=places[row.draft][0]) for row in self.rows]
        return replace(self, slots=tuple(slots), rows=tuple(rows))


def lay_out(drafts: Sequence[Draft], tokenizer: Tokenizer, context_length: int) -> Layout:
    """Lays drafts out, a row for each, or several windows where it is longer than the context.

    A row depends on its own draft only.

    Raises:
        DataError: a gap needs more positions than the context has.
    """
    slots: list[Slot] = []
    rows: list[Row] = []
    ids: list[list[int]] = []
    frozen: list[list[bool]] = []
    orders: list[int] = []
    for number, draft in enumerate(drafts):
        strip = _Strip.of(draft, tokenizer)
        strip.require_fit(draft.outline, context_length)
        for order, window in enumerate(cut_windows(len(strip.ids), strip.places, context_length)):
            for gap in window.shown:
                start, stop = (place - window.start for place in strip.places[gap])
                slots.append(Slot(number, gap, len(rows), start, stop, gap in window.kept, draft.starts[gap]))
            orders.append(order)
            rows.append(Row(number, *strip.visible(window, draft.outline)))
            ids.append(strip.ids[window.start : window.stop])
            frozen.append(strip.frozen[window.start : window.stop])
    keys = Draws.seeded([drafts[row.draft].seed for row in rows]).fold(torch.tensor(orders, dtype=torch.long)).keys
    canvas = Canvas.of_rows(ids, frozen, keys.tolist(), tokenizer.vocabulary)
    return Layout(canvas, tuple(slots), tuple(rows))


@dataclass(frozen=True)
class _Strip:
    """A whole stretch: ids, frozen flags, the source byte after each position, and (start, stop) of each gap."""

    ids: list[int]
    frozen: list[bool]
    bytes: list[int]
    places: list[tuple[int, int]]

    @staticmethod
    def of(draft: Draft, tokenizer: Tokenizer) -> _Strip:
        vocabulary, outline = tokenizer.vocabulary, draft.outline
        hole = vocabulary.pad_id if vocabulary.mask_id is None else vocabulary.mask_id
        strip = _Strip([], [], [], [])
        for gap, (run, stop) in enumerate(zip(outline.runs, outline.stops, strict=False)):
            strip._add(run.ids, [True] * len(run.ids), run.bytes)
            length = draft.lengths[gap]
            strip.places.append((len(strip.ids), len(strip.ids) + length))
            strip._add([hole] * length, [False] * length, [stop] * length)
            if gap in draft.open and vocabulary.filler_id is not None:
                strip._add([vocabulary.filler_id], [True], [stop])
        strip._add(outline.runs[-1].ids, [True] * len(outline.runs[-1].ids), outline.runs[-1].bytes)
        return strip

    def _add(self, ids: Sequence[int], frozen: Sequence[bool], places: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.frozen.extend(frozen)
        self.bytes.extend(places)

    def visible(self, window: Window, outline: Outline) -> tuple[int, int]:
        start = self.bytes[window.start - 1] if window.start else outline.start_byte
        return start, self.bytes[window.stop - 1]

    def require_fit(self, outline: Outline, available: int) -> None:
        for gap, (start, stop) in zip(outline.gaps, self.places, strict=True):
            if stop - start > available:
                raise DataError(
                    f"gap {gap + 1} needs {stop - start} positions, but the model's context has room for {available}: "
                    "ask for less"
                )
