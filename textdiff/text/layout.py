"""Documents to canvas rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import DataError, UsageError
from textdiff.text.canvas import Canvas
from textdiff.text.document import Document, Gap, GapLength, Text
from textdiff.text.tokenizer import Tokenizer
from textdiff.text.windows import cut_windows

_CHARACTERS_A_WORD = 12


@dataclass(frozen=True)
class Slot:
    """Where a gap stands on the canvas: positions start … stop - 1 of a row.

    Attributes:
        document, gap: which gap it is.
        row, start, stop: its place.
        kept: whether its text is taken from here; else it is only context for other gaps (see `Window`).
        healed: the document has the space before the gap, the canvas has not: the text loses one leading space.
        opens: the first token must be one that begins a word after a space.
        length: what was asked for.
    """

    document: int
    gap: int
    row: int
    start: int
    stop: int
    kept: bool
    healed: bool
    opens: bool
    length: GapLength | None


@dataclass(frozen=True)
class Row:
    """What a canvas row shows: tokens start … stop - 1 of the `total` tokens of a document, its ends included."""

    document: int
    start: int
    stop: int
    total: int


@dataclass(frozen=True)
class Layout:
    """A canvas, and where the gaps of which documents are on it."""

    canvas: Canvas
    slots: tuple[Slot, ...]
    rows: tuple[Row, ...]
    gap_counts: tuple[int, ...]


def lay_out(
    documents: Sequence[Document], tokenizer: Tokenizer, context_length: int, seeds: Sequence[int], room: int
) -> Layout:
    """Lays documents out, a row for each, or several windows for one that is longer than the context.

    A row depends on its document and seed only. Documents without gaps have no row.

    Args:
        documents: what is to be filled.
        tokenizer: the model's.
        context_length: positions that the model can see.
        seeds: one a document, any integers.
        room: positions of a gap that asks for no length.

    Raises:
        DataError: a gap needs more positions than the context has, or counts words that the tokenizer cannot count.
        UsageError: room is below 1.
    """
    if room < 1:
        raise UsageError(f"the room of a gap must be at least 1, got {room}")
    slots: list[Slot] = []
    rows: list[Row] = []
    ids: list[list[int]] = []
    frozen: list[list[bool]] = []
    numbers: list[int] = []
    for number, document in enumerate(documents):
        sequence = _Sequence.of(document, tokenizer, room)
        sequence.require_fit(document, context_length - len(tokenizer.prefix_ids) - len(tokenizer.suffix_ids))
        for order, window in enumerate(cut_windows(len(sequence.ids), sequence.places, context_length)):
            for gap in window.shown:
                start, stop = (position - window.start for position in sequence.places[gap])
                healed, opens = sequence.spaces[gap]
                length = document.gaps[gap].length
                kept = gap in window.kept
                slots.append(Slot(number, gap, len(rows), start, stop, kept, healed, opens, length))
            rows.append(Row(number, window.start, window.stop, len(sequence.ids)))
            ids.append(sequence.ids[window.start : window.stop])
            frozen.append(sequence.frozen[window.start : window.stop])
            numbers.append(order)
    keys = Draws.seeded([seeds[row.document] for row in rows]).fold(torch.tensor(numbers, dtype=torch.long)).keys
    canvas = Canvas.of_rows(ids, frozen, keys.tolist(), tokenizer.vocabulary)
    return Layout(canvas, tuple(slots), tuple(rows), tuple(len(document.gaps) for document in documents))


def read_back(ids: Tensor, layout: Layout, tokenizer: Tokenizer) -> list[list[str]]:
    """The texts of the gaps, for each document, from filled ids Long [B, L]."""
    texts = [[""] * count for count in layout.gap_counts]
    listed = ids.tolist()
    for slot in layout.slots:
        if slot.kept:
            text = tokenizer.decode(listed[slot.row][slot.start : slot.stop])
            texts[slot.document][slot.gap] = text.removeprefix(" ") if slot.healed else text
    return texts


@dataclass(frozen=True)
class _Sequence:
    """A whole document in tokens: ids and frozen flags, (start, stop) of each gap, and its (healed, opens)."""

    ids: list[int]
    frozen: list[bool]
    places: list[tuple[int, int]]
    spaces: list[tuple[bool, bool]]

    @staticmethod
    def of(document: Document, tokenizer: Tokenizer, room: int) -> _Sequence:
        hole = tokenizer.vocabulary.mask_id
        sequence = _Sequence([], [], [], [])
        sequence._give(tokenizer.prefix_ids)
        for i, part in enumerate(document.parts):
            if isinstance(part, Text):
                before_gap = i + 1 < len(document.parts)
                shared = before_gap and tokenizer.carries_spaces and part.text.endswith(" ")
                sequence._give(tokenizer.encode(part.text[:-1] if shared else part.text, start=i == 0))
            else:
                left = document.parts[i - 1] if i else None
                sequence.spaces.append(_space_before(left, tokenizer))
                count = positions_of(part, tokenizer, room)
                sequence.places.append((len(sequence.ids), len(sequence.ids) + count))
                sequence.ids.extend([tokenizer.vocabulary.pad_id if hole is None else hole] * count)
                sequence.frozen.extend([False] * count)
        sequence._give(tokenizer.suffix_ids)
        return sequence

    def _give(self, ids: list[int]) -> None:
        self.ids.extend(ids)
        self.frozen.extend([True] * len(ids))

    def require_fit(self, document: Document, available: int) -> None:
        for gap, (start, stop) in zip(document.gaps, self.places, strict=True):
            if stop - start > available:
                raise DataError(
                    f"gap {gap.index + 1}, {gap.markup}, needs {stop - start} positions, "
                    f"but the model's context has room for {max(available, 0)}: ask for less"
                )


def positions_of(gap: Gap, tokenizer: Tokenizer, room: int) -> int:
    """How many positions a gap gets on the canvas.

    With a filler token there are more than the text needs; without one every position is written.
    """
    length = gap.length
    other = length is not None and length.unit in ("chars", "sentences")
    if other or gap.choices or gap.pattern is not None or gap.must or gap.forbid:
        raise DataError(f"gap {gap.index + 1}, {gap.markup}: only words and tokens can be asked for so far")
    if length is None:
        return room
    if length.unit == "tokens":
        return length.high
    if not tokenizer.carries_spaces:
        if length.high > 1:
            raise DataError(f"gap {gap.index + 1}, {gap.markup}: this model's tokens are not words; ask for tokens")
        return _CHARACTERS_A_WORD if tokenizer.vocabulary.filler_id is not None else 1
    return 2 * length.high + 2 if tokenizer.vocabulary.filler_id is not None else length.high


def _space_before(left: Text | Gap | None, tokenizer: Tokenizer) -> tuple[bool, bool]:
    """(healed, opens) of a gap after `left`: whether its first word's piece brings a space that the document has.

    A word's piece usually holds the space before it, so that space must come from the gap and not from the given text.
    """
    if not tokenizer.carries_spaces or isinstance(left, Gap):
        return False, False
    text = left.text if left else ""
    if tokenizer.kind == "wordpiece":
        # its pieces do not tell whether the document has a space here, and the document's own spaces stay
        return True, not text or text[-1].isspace()
    if text.endswith(" "):
        return True, True
    lost = tokenizer.writes_first_space if not text else text[-1].isspace() and not tokenizer.keeps_whitespace
    return lost, lost
