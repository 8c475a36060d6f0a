"""Gap cases on a canvas, as the baselines and the likelihoods need them: every gap with a known number of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import DataError
from textdiff.evaluation.infilling.cases import GapCase
from textdiff.text.canvas import Canvas
from textdiff.text.spelling import HOLE
from textdiff.text.tokenizers import Tokenizer

Hides = Literal["nothing", "right", "others", "later"]


@dataclass(frozen=True)
class GapRows:
    """Cases on a canvas, a row each.

    Attributes:
        canvas: clean ids; the gaps are free.
        gap: Long [B, L], the number of the gap that a position belongs to, or -1.
        starts: for each case and gap the state in which its text begins; see `Spelling`.
    """

    canvas: Canvas
    gap: Tensor
    starts: tuple[tuple[int, ...], ...]

    def rows(self, index: Tensor) -> GapRows:
        """Some of the rows (Long [R])."""
        return GapRows(self.canvas.rows(index), self.gap[index], tuple(self.starts[i] for i in index.tolist()))

    def texts(self, ids: Tensor, tokenizer: Tokenizer) -> list[tuple[str, ...]]:
        """What ids [B, L] say in the gaps of each row."""
        found = []
        for row, gap, starts in zip(ids, self.gap, self.starts, strict=True):
            spelled = (tokenizer.spelling.text(row[gap == i].tolist(), start) for i, start in enumerate(starts))
            found.append(tuple(spelled))
        return found


def gap_ids(case: GapCase, texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    """The ids of these texts in the gaps of a case: with the space before a gap, where words bring their space along."""
    before = case.given[: len(texts)]
    words = [" " + text if _brings_space(left, tokenizer) else text for text, left in zip(texts, before, strict=True)]
    return tokenizer.encode_many(words, start=False)


def gap_rows(
    cases: Sequence[GapCase], inside: Sequence[Sequence[Sequence[int]]], tokenizer: Tokenizer, context: int, seed: int
) -> GapRows:
    """Lays cases out, as `lay_out` does for gaps of so many tokens.

    Args:
        cases: what is given.
        inside: for each case and gap the ids that stand in it; see `gap_ids`.
        tokenizer: the model's.
        context: positions that the model can see.
        seed: row i gets a seed from (seed, i).

    Raises:
        DataError: a row is longer than the context.
    """
    rows: list[list[int]] = []
    gaps: list[list[int]] = []
    for case, texts in zip(cases, inside, strict=True):
        ids, gap = [*tokenizer.prefix_ids], [-1] * len(tokenizer.prefix_ids)
        for number, given in enumerate(case.given):
            last = number == len(texts)
            shared = tokenizer.carries_spaces and not last
            text = given.removesuffix(" ") if shared else given
            outside = tokenizer.encode(text, start=number == 0) if text else []
            within = tokenizer.suffix_ids if last else texts[number]
            ids += [*outside, *within]
            gap += [-1] * len(outside) + [-1 if last else number] * len(within)
        if len(ids) > context:
            raise DataError(f"a case needs {len(ids)} tokens, the model's context has {context}; show less context")
        rows.append(ids)
        gaps.append(gap)
    seeds = Draws.seeded([seed] * len(rows)).fold(torch.arange(len(rows))).keys.tolist()
    canvas = Canvas.of_rows(rows, [[number < 0 for number in gap] for gap in gaps], seeds, tokenizer.vocabulary)
    numbers = torch.full(canvas.shape, -1, dtype=torch.long)
    for row, gap in enumerate(gaps):
        numbers[row, : len(gap)] = torch.tensor(gap)
    return GapRows(canvas, numbers, tuple(_starts(case, tokenizer) for case in cases))


def _starts(case: GapCase, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The state in which the text of each gap begins."""
    sides = ((HOLE.join(case.given[:i]), HOLE.join(case.given[i:])) for i in range(1, len(case.given)))
    return tuple(tokenizer.spelling.start(left, right) for left, right in sides)


def _brings_space(left: str, tokenizer: Tokenizer) -> bool:
    """Whether the first word of a gap after this text has a space in its piece that is not the gap's in the document."""
    if not tokenizer.carries_spaces:
        return False
    if not left:
        return tokenizer.writes_first_space
    return left.endswith(" ") or (left[-1].isspace() and not tokenizer.keeps_whitespace)


@dataclass(frozen=True)
class Manner:
    """How gaps are gone over: in which order, and what is out of sight meanwhile.

    Attributes:
        name: of the method.
        turn: a turn writes everything, one gap, or one position, from left to right.
        hides: given tokens and unwritten gaps that a turn does not see: the other gaps, those that come later, all to the
            right of what is written, or nothing. What earlier turns wrote is seen unless it is hidden.
        at_once: the positions of a turn are written independently of each other, each as the most probable token.
    """

    name: str
    turn: Literal["all", "gap", "position"]
    hides: Hides
    at_once: bool = False

    def views(self, gap: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What each turn writes and what it hides, Bool [B, L] both, from the gap numbers Long [B, L]."""
        inside = gap >= 0
        turns = {"all": inside.long() - 1, "gap": gap, "position": torch.where(inside, inside.cumsum(-1) - 1, -1)}
        turn = turns[self.turn]
        for number in range(int(turn.max()) + 1):
            free = turn == number
            yield free, self._hidden(turn, free, number)

    def _hidden(self, turn: Tensor, free: Tensor, number: int) -> Tensor:
        if self.hides == "others":
            return (turn >= 0) & ~free
        if self.hides == "later":
            return turn > number
        if self.hides == "right":
            return (free.cumsum(-1) == free.sum(-1, keepdim=True)) & ~free & free.any(-1, keepdim=True)
        return torch.zeros_like(free)


JOINT = Manner("joint", "all", "nothing")
MANNERS = (
    JOINT,
    Manner("gap_alone", "gap", "others"),
    Manner("left_only", "gap", "right"),
    Manner("masks_at_once", "all", "nothing", at_once=True),
    Manner("masks_in_turn", "position", "later", at_once=True),
)
