"""A step whose positions move each by themselves, a few at a time: their laws over all ids are never all alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.distributions import with_logits
from textdiff.sampling.step import Step
from textdiff.sampling.transitions import Move

_SCORED = 24 << 20
"""Bytes of scores that an output layer makes at once on a CPU: so many rows that its weights are seldom read, and less than
what the system would have to be asked for anew each time."""

_MOVED = 8 << 20
"""Bytes of them that move at once: one law after another is made of them, in the processor's cache."""

_ON_GPU = 256 << 20


def moved_in_pieces(
    step: Step, said: Sequence[Readout], constraint: Constraint | None, move: Callable[[Step], Move], clean: bool
) -> Move:
    """The move of a planned step.

    Args:
        step: planned.
        said: what each side says at the packed positions.
        constraint: one that ties no positions together, for the rows of this step, or None.
        move: what a step does that knows its distributions.
        clean: whether `move` looks at `Step.log_p`.
    """
    on_gpu, row_bytes, moves = step.row.is_cuda, 4 * said[0].width, []
    for rows in _cut(len(step.row), (_ON_GPU if on_gpu else _SCORED) // row_bytes):
        logits, row, column = [side.logits(rows) for side in said], step.row[rows], step.column[rows]
        for part in _cut(len(row), (_ON_GPU if on_gpu else _MOVED) // row_bytes):
            piece = step.at(row[part], column[part])
            piece = with_logits(piece, [side[part] for side in logits], constraint, clean=clean)
            made = move(piece)
            moves.append((made.ids, made.settled, piece.log_p_of(made.ids) if clean else _log_p_of(piece, made.ids)))
    return Move(*(moves[0] if len(moves) == 1 else (torch.cat(parts) for parts in zip(*moves, strict=True))))


def _log_p_of(step: Step, ids: Tensor) -> Tensor:
    """`Step.log_p_of`, where it has no `log_p`."""
    log_p = step.process.log_p_clean(step.log_p_x0, ids, step.pack(step.x_t), step.t[step.row])
    return log_p.to(torch.float64)


def _cut(count: int, most: int) -> Iterator[slice]:
    size = max(1, most)
    return (slice(start, start + size) for start in range(0, count, size))
