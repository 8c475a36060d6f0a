"""How likely what was written is: the infilling likelihood of the gaps given the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader
from textdiff.infiller.drafts import Sized
from textdiff.infiller.writing import ROWS
from textdiff.model import DiffusionModel
from textdiff.objectives import position_nats
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas
from textdiff.text.layout import Layout

_SEED = 0x5C0E
REPEATS = 8
"""Noise levels at which each row is scored, evenly spread; the same ones, with the same noise, for all that is compared."""


def infilling_scores(model: DiffusionModel, layout: Layout, ids: Tensor, sized: Sequence[Sized]) -> list[list[float]]:
    """For each draft and gap its share of the infilling log-likelihood, nats: a bound, estimated.

    log p(length) + log p(tokens | length, the given text), the gaps of a window together, by the count form restricted to
    them. Source: arXiv 2406.07524, equation 10, for a part of the positions.

    Args:
        model: whose likelihood.
        layout: the drafts on a canvas.
        ids: Long [B, L], what was written.
        sized: the drafts, for the odds of their lengths.
    """
    canvas = replace(layout.canvas.with_ids(ids), seeds=_numbers(layout, sized))
    nats = written_nats(model, canvas)
    scores = [[0.0] * len(one.lengths) for one in sized]
    for slot in layout.slots:
        if slot.kept:
            scores[slot.draft][slot.gap] = sized[slot.draft].log_odds(slot.gap) - float(nats[slot.text].sum())
    return scores


def written_nats(model: DiffusionModel, canvas: Canvas) -> Tensor:
    """What each free position adds to the NELBO of its row, or to its exact likelihood: nats, float64 [B, L].

    Rows with the same seed are corrupted at the same levels with the same noise: so they are compared.
    """
    levels = (torch.arange(REPEATS, dtype=torch.float64) + 0.5) / REPEATS
    return levelled_nats(model.read, model.process, canvas, levels, model.device)


def levelled_nats(
    denoiser: Denoiser | Reader,
    process: ForwardProcess,
    canvas: Canvas,
    levels: Tensor,
    device: torch.device | str,
    on_rows: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """What each free position adds to the NELBO of its row, with all rows at the same levels [repeats]: nats, float64 [B, L].

    Args:
        denoiser, process, canvas: see `position_nats`.
        levels: of the noise, which is the same for rows of the same seed.
        device: the denoiser's.
        on_rows: called with the number of rows that are done: a few of about one length at a time.
    """
    nats = torch.zeros(canvas.shape, dtype=torch.float64)
    lengths = canvas.valid.sum(-1)
    done = 0
    for rows in torch.split(lengths.argsort(stable=True), ROWS):
        length = int(lengths[rows].max()) if len(rows) else 0
        part = canvas.rows(rows).cut(length).to(device)
        every = levels.unsqueeze(-1).expand(-1, len(rows))
        nats[rows, :length] = position_nats(denoiser, process, part, every, _SEED)
        done += len(rows)
        on_rows(done)
    return nats


def _numbers(layout: Layout, sized: Sequence[Sized]) -> Tensor:
    """For each row the number that the first gap which it is there for has in its document, Long [B]."""
    numbers = torch.zeros(len(layout.rows), dtype=torch.long)
    for slot in reversed(layout.slots):
        if slot.kept:
            numbers[slot.row] = sized[slot.draft].plan.outline.gaps[slot.gap]
    return numbers
