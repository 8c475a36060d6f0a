"""What each position adds to the NELBO."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader, Readout, as_readout
from textdiff.draws import Draws
from textdiff.objectives.estimators import Corruption, Estimator, LevelNats, estimator_for
from textdiff.objectives.rows import chunks_of_rows
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_POSITIONS = 1 << 11
"""Of a batch that is made of several repeats of a smaller one."""


def spread_levels(first: int, rows: int, repeats: int, seed: int) -> Tensor:
    """Noise levels float64 [repeats, rows] in (0, 1) of the rows first, first + 1, …: a golden-ratio sequence."""
    start = float(Draws.seeded(seed).uniform(1)[0, 0])
    index = (first + torch.arange(rows)) * repeats + torch.arange(repeats).unsqueeze(-1)
    return (start + index.double() * _GOLDEN_RATIO) % 1


@torch.no_grad()
def position_nats(
    denoiser: Denoiser | Reader,
    process: ForwardProcess,
    canvas: Canvas,
    levels: Tensor,
    seed: int,
    on_levels: Callable[[LevelNats], None] | None = None,
) -> Tensor:
    """What each free position adds to the NELBO of its row: nats, float64 [B, L] on the CPU, averaged over repeats.

    Args:
        denoiser: the model's `read`: rows of scores are then made a few at a time and never all alive. Or its `denoise`.
        process: its process.
        canvas: clean ids.
        levels: float64 [repeats, B], how far towards noise each row goes.
        seed: of the noise, together with the row's own seed.
        on_levels: called once a repeat with what the rows cost at their levels; never where what they cost has none.
    """
    estimator = estimator_for(process)
    if estimator.exact:
        levels, on_levels = levels[:1], None
    rows, length = canvas.shape
    total = torch.zeros(canvas.shape, dtype=torch.float64, device=canvas.ids.device)
    together = max(1, _POSITIONS // max(1, rows * length))
    for first in range(0, len(levels), together):
        repeats = torch.arange(first, min(first + together, len(levels)))
        # repeats of a small batch go through the network together: its calls would cost more than its work
        many = canvas.rows(torch.arange(rows, device=total.device).repeat(len(repeats)))
        draws = Draws.seeded(many.seeds).fold(seed, repeats.repeat_interleave(rows))
        corruption = estimator.corrupt(many, levels[repeats].to(total.device).flatten(), draws)
        readout = as_readout(denoiser(corruption.x_t, corruption.t, many, corruption.where))
        values = _packed_nats(estimator, many, corruption, readout)
        nats = torch.zeros(many.shape, dtype=torch.float64, device=total.device)
        nats[corruption.where] = values.double()
        total += nats.view(len(repeats), rows, length).sum(0)
        if on_levels is not None:
            for levelled in zip(
                *(part.view(-1, rows) for part in estimator.at_level(many, corruption, values)), strict=True
            ):
                on_levels(LevelNats(*levelled))
    return total.cpu() / len(levels)


def _packed_nats(estimator: Estimator, canvas: Canvas, corruption: Corruption, readout: Readout) -> Tensor:
    """The nats [N] of the packed positions, some rows of scores at a time."""
    parts = [
        estimator.nats(canvas, corruption.part(corruption.places[rows]), readout.logits(rows).float().log_softmax(-1))
        for rows in chunks_of_rows(len(corruption.places), 4 * readout.width, canvas.ids.device)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, device=canvas.ids.device)
