"""What may be written in a gap, as tensors for the sampler's constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from textdiff.errors import DataError
from textdiff.text.canvas import Canvas
from textdiff.text.layout import Layout, Slot
from textdiff.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Limits:
    """Which ids each position allows, and how many of some kind each group of positions must have.

    Every position has a class; class 0 allows everything and counts nothing.

    Attributes:
        table: Bool [C, V], the ids that a class allows.
        which: Long [B, L], the class of each position.
        weight: Bool [C, V], the ids that count at such a position: those that begin a word, or all that are text.
        group: Long [B, L], the group that counts the position, or -1.
        low, high: Long [B, G], the least and the greatest count of each group.
    """

    table: Tensor
    which: Tensor
    weight: Tensor
    group: Tensor
    low: Tensor
    high: Tensor


class _Place(NamedTuple):
    """What the class of a position depends on."""

    words: bool
    first: bool
    opens: bool
    filler: bool


def make_limits(layout: Layout, tokenizer: Tokenizer) -> Limits:
    """The limits of all gaps of a layout: their text is valid UTF-8 and as long as asked for.

    Raises:
        DataError: the tokenizer has no piece that begins a word, and a gap asks for several words.
    """
    which = torch.zeros(layout.canvas.shape, dtype=torch.long)
    group = torch.full(layout.canvas.shape, -1, dtype=torch.long)
    bounds: list[list[tuple[int, int]]] = [[] for _ in layout.rows]
    classes: dict[_Place, int] = {}
    has_filler = tokenizer.vocabulary.filler_id is not None
    for slot in layout.slots:
        filler = has_filler and not _is_exact(slot)
        words = slot.length is not None and slot.length.unit == "words"
        for first, span in ((True, slice(slot.start, slot.start + 1)), (False, slice(slot.start + 1, slot.stop))):
            # a filler never comes first: a gap gets some text, and `opens` speaks of that text
            place = _Place(words, first, first and slot.opens, filler and not first)
            which[slot.row, span] = classes.setdefault(place, len(classes) + 1)
        if slot.length is not None and (words or filler):
            # the first position always begins a word: only what follows it is left to count
            sure = 1 if words else 0
            group[slot.row, slot.start + sure : slot.stop] = len(bounds[slot.row])
            bounds[slot.row].append((slot.length.low - sure, slot.length.high - sure))
    pieces = _Pieces.of(tokenizer)
    table = torch.stack([torch.ones_like(pieces.text), *(pieces.allowed(place) for place in classes)])
    weight = torch.stack([torch.zeros_like(pieces.text), *(pieces.counted(place) for place in classes)])
    _require_words(layout, pieces)
    low, high = _pad(bounds)
    return Limits(table, which, weight, group, low, high)


def _is_exact(slot: Slot) -> bool:
    return slot.length is not None and slot.length.unit == "tokens" and slot.length.low == slot.length.high


@dataclass(frozen=True)
class _Pieces:
    """Bool [V] each: whole characters, no control codes; within one word; begins a word after a space; the filler."""

    text: Tensor
    word: Tensor
    spaced: Tensor
    opens: Tensor
    filler: Tensor

    @staticmethod
    def of(tokenizer: Tokenizer) -> _Pieces:
        vocabulary = tokenizer.vocabulary
        filler = torch.zeros(vocabulary.size, dtype=torch.bool)
        if vocabulary.filler_id is not None:
            filler[vocabulary.filler_id] = True
        plain = torch.tensor([not _has_control(piece) for piece in tokenizer.pieces])
        text = tokenizer.utf8 & plain & vocabulary.writable() & ~filler
        word = torch.tensor([_within_word(piece) for piece in tokenizer.pieces]) & text & ~tokenizer.joins_next
        return _Pieces(text, word, word & tokenizer.starts_with_space, tokenizer.opens, filler)

    def allowed(self, place: _Place) -> Tensor:
        allowed = self.word if place.words else self.text
        if place.opens:
            allowed = allowed & self.opens
        return allowed | self.filler if place.filler else allowed

    def counted(self, place: _Place) -> Tensor:
        return self.spaced if place.words else self.text


def _has_control(piece: bytes) -> bool:
    """Whether the piece would do something to a terminal or end a C string."""
    return any((b < 0x20 and b not in b"\t\n\r") or b == 0x7F for b in piece)


def _within_word(piece: bytes) -> bool:
    """Whether the piece is part of one word: no whitespace but a space before it, and something else than that."""
    body = piece.decode("utf-8", errors="replace").removeprefix(" ")
    return bool(body) and not any(c.isspace() for c in body)


def _require_words(layout: Layout, pieces: _Pieces) -> None:
    for slot in layout.slots:
        if slot.length is not None and slot.length.unit == "words" and slot.length.low > 1 and not pieces.spaced.any():
            raise DataError(f"gap {slot.gap + 1}: no piece of this tokenizer begins a word; ask for tokens")


def _pad(bounds: list[list[tuple[int, int]]]) -> tuple[Tensor, Tensor]:
    """low and high, Long [B, G] each; groups that a row lacks are 0 … 0 and have no position."""
    groups = max((len(row) for row in bounds), default=0) or 1
    padded = [row + [(0, 0)] * (groups - len(row)) for row in bounds]
    both = torch.tensor(padded, dtype=torch.long).reshape(len(bounds), groups, 2)
    return both[..., 0], both[..., 1]


def free_limits(canvas: Canvas, tokenizer: Tokenizer) -> Limits:
    """The limits of free text: every free position holds a piece of text, no filler."""
    pieces = _Pieces.of(tokenizer)
    none = torch.full(canvas.shape, -1, dtype=torch.long)
    bounds = torch.zeros(canvas.shape[0], 1, dtype=torch.long)
    table = torch.stack([torch.ones_like(pieces.text), pieces.text])
    return Limits(table, canvas.free.long(), torch.zeros_like(table), none, bounds, bounds)
