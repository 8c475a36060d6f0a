"""From canvases to samples: rows sorted by length, in batches, and put back in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.model import DiffusionModel
from textdiff.sampling import Constraint, CountRange, Event, Sampler, TokenClasses
from textdiff.text.canvas import Canvas
from textdiff.text.limits import Limits

ROWS = 32
"""Rows of a batch. It changes the speed, never a result."""


@dataclass(frozen=True)
class Progress:
    """A look at the canvas while it is written.

    Attributes:
        rows: Long [R], the rows of the canvas that this batch writes.
        event: what the sampler shows of them.
    """

    rows: Tensor
    event: Event


@dataclass(frozen=True)
class Written:
    """The finished canvas.

    Attributes:
        ids: Long [B, L].
        log_p: float64 [B, L]; see `Samples`.
        nfe: Long [B].
        steps: of the longest row.
    """

    ids: Tensor
    log_p: Tensor
    nfe: Tensor
    steps: int


def write(
    model: DiffusionModel,
    sampler: Sampler,
    canvas: Canvas,
    limits: Limits,
    on_progress: Callable[[Progress], None] | None = None,
) -> Written:
    """Writes the free positions of a canvas within the limits, on the model's device."""
    ids, log_p = canvas.ids.clone(), torch.zeros(canvas.shape, dtype=torch.float64)
    nfe = torch.zeros(len(ids), dtype=torch.long)
    steps = 0
    lengths = canvas.valid.sum(-1)
    for rows in torch.split(lengths.argsort(stable=True), ROWS):
        length = int(lengths[rows].max()) if len(rows) else 0
        ids_part, frozen, valid = (value[rows, :length] for value in (canvas.ids, canvas.frozen, canvas.valid))
        part = Canvas(ids_part, frozen, valid, canvas.seeds[rows])
        watch = None if on_progress is None else _watcher(on_progress, rows)
        device = model.device
        constraint = constraint_of(limits, rows, length, device)
        samples = sampler.sample(model.denoise, model.process, part.to(device), constraint, watch)
        ids[rows, :length], log_p[rows, :length] = samples.ids.cpu(), samples.log_p.cpu()
        nfe[rows] = samples.nfe.cpu()
        steps = max(steps, samples.steps)
    return Written(ids, log_p, nfe, steps)


def constraint_of(limits: Limits, rows: Tensor, length: int, device: torch.device) -> Constraint:
    """The limits of some rows, as the sampler's constraint."""
    which, group = limits.which[rows, :length].to(device), limits.group[rows, :length].to(device)
    table, weight = limits.table.to(device), limits.weight.to(device)
    if not bool((group >= 0).any()):
        return TokenClasses(table, which)
    low, high = limits.low[rows].to(device), limits.high[rows].to(device)
    return CountRange(weight, which, group, low, high, table)


def mean_log_p(log_p: Tensor, written: Tensor) -> float:
    """Mean of log p over the positions of Bool `written`; 0 where there are none."""
    chosen = log_p[written]
    mean = float(chosen.mean()) if len(chosen) else 0.0
    return mean if math.isfinite(mean) else -math.inf


def _watcher(on_progress: Callable[[Progress], None], rows: Tensor) -> Callable[[Event], None]:
    return lambda event: on_progress(Progress(rows, event))
