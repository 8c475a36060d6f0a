"""What each round of a run will ask, worked out before the first: where no token and no answer has a say in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.processes import ForwardProcess
from textdiff.sampling.grids import TimeGrid
from textdiff.sampling.step import Step, begin_step
from textdiff.text.canvas import Canvas

_AT_ONCE = 1 << 20
"""Positions that are planned at once, all steps counted: 8 MB a tensor."""


@dataclass(frozen=True)
class Turn:
    """Rows that take a step together: each its own next one in which a token settles.

    Attributes:
        rows: Long [R], rising, which rows of the batch.
        index: Long [R], the number of each row's step.
        t, s: float64 [R], where it begins and ends.
        keys: Long [R], of the step's draws.
        row: Long [N], the row of each position that settles, of these R.
        column: Long [N].
    """

    rows: Tensor
    index: Tensor
    t: Tensor
    s: Tensor
    keys: Tensor
    row: Tensor
    column: Tensor


def turns(
    process: ForwardProcess, grid: TimeGrid, steps: int, canvas: Canvas, plan: Callable[[Step], Tensor]
) -> list[Turn]:
    """All turns of a run, in order. Steps in which nothing of a row settles are left out.

    Args:
        process: of the run.
        grid: one whose times are known.
        steps: of the sampler.
        canvas: what is to be written.
        plan: gives Bool [R, L] for a step of R rows: what settles in it of what is noisy, each position by itself.
    """
    times = _times(process, grid, steps, canvas.seeds.device)
    row, column = canvas.free.nonzero(as_tuple=True)
    number = _settling(process, times, steps, canvas, plan)[row, column]
    # a row's steps in which something settles, row by row, and to which of them each position belongs
    events, event = torch.unique(row * steps + number, return_inverse=True)
    event_row = events // steps
    turn = torch.arange(len(events), device=row.device) - torch.searchsorted(event_row, event_row)
    order, by_turn = turn.argsort(stable=True), turn[event].argsort(stable=True)
    counts = torch.stack((torch.bincount(turn), torch.bincount(turn[event])))
    of_rows, of_places = counts.tolist()
    before = counts[0].cumsum(0) - counts[0]
    place = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=row.device)) - before[turn]
    rows, index = event_row[order], events[order] % steps
    keys = Draws.seeded(canvas.seeds[rows]).fold(index).keys
    parts = [torch.split(part, of_rows) for part in (rows, index, times[index], times[index + 1], keys)]
    parts += [torch.split(part[by_turn], of_places) for part in (place[event], column)]
    return [Turn(*turn) for turn in zip(*parts, strict=True)]


def _times(process: ForwardProcess, grid: TimeGrid, steps: int, device: torch.device) -> Tensor:
    """Float64 [steps + 1], from 1 to 0: where each step begins and the last one ends."""
    index = torch.arange(steps, device=device)
    t, nothing = torch.ones(steps, dtype=torch.float64, device=device), index.new_empty(steps, 0)
    return torch.cat((t[:1], grid.next(_step(process, Draws(index), index, steps, nothing.bool(), t))))


def _settling(
    process: ForwardProcess, times: Tensor, steps: int, canvas: Canvas, plan: Callable[[Step], Tensor]
) -> Tensor:
    """Long [B, L]: the number of the step in which each free position settles. Many steps of all rows are one step of more."""
    draws, free = Draws.seeded(canvas.seeds), canvas.free
    settling = torch.full_like(canvas.ids, steps - 1)
    for numbers in torch.split(torch.arange(steps, device=free.device), max(1, _AT_ONCE // max(1, free.numel()))):
        count = len(numbers)
        index = numbers.repeat_interleave(len(free))
        many = Draws(draws.keys.repeat(count)).fold(index)
        step = _step(process, many, index, steps, free.repeat(count, 1), times[index])
        planned = plan(replace(step, s=times[index + 1])).view(count, *free.shape)
        settling = torch.minimum(settling, torch.where(planned, numbers[:, None, None], steps).amin(0))
    return settling


def _step(process: ForwardProcess, draws: Draws, index: Tensor, steps: int, noisy: Tensor, t: Tensor) -> Step:
    """A step that knows times and draws, and what carries noise, Bool [R, L]; no tokens."""
    blank, never = torch.zeros_like(noisy, dtype=torch.long), torch.zeros_like(noisy, dtype=torch.float64)
    return begin_step(process, draws, index, steps, blank, noisy, noisy, noisy, t, never)
