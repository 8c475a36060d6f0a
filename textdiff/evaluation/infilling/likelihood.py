"""What the true texts of gaps cost under the law that a manner of filling draws from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.evaluation.infilling.rows import GapRows, Manner
from textdiff.infiller import Infiller
from textdiff.objectives import position_nats, spread_levels
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas

ROWS = 16
_NOISE = 1 - 2.0**-40  # the level at which everything is noise


def manner_nats(
    denoiser: Denoiser,
    process: ForwardProcess,
    rows: GapRows,
    manner: Manner,
    repeats: int,
    seed: int,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The infilling NELBO of what stands in the gaps, given how many tokens it has: nats, float64 [B, L].

    A manner's law is the product over its turns. A turn that writes several positions one after the other is scored by
    the process's own estimate restricted to them (for absorbing noise the count form, whose mean is that over all
    orders); one that writes them independently, by the sum of their costs with all of them unwritten. A row's noise depends
    on its seed and its number only: it is the same for every manner and model.

    Args:
        denoiser: leave-one-out logits.
        process: its process.
        rows: the true texts.
        manner: how gaps are filled.
        repeats: corruptions of each row.
        seed: of the noise levels.
        device: the denoiser's.
        on_rows: called with the number of rows that are done.
    """
    nats = torch.zeros(rows.canvas.shape, dtype=torch.float64)
    levels = spread_levels(0, len(nats), repeats, seed)
    if manner.at_once:
        levels = torch.full_like(levels[:1], _NOISE)
    lengths = rows.canvas.valid.sum(-1)
    done = 0
    for part in torch.split(lengths.argsort(stable=True), ROWS):
        length = int(lengths[part].max())
        for free, hidden in manner.views(rows.gap[part, :length]):
            busy = free.any(-1)
            chosen = part[busy]
            canvas = shown(rows.canvas, chosen, length, free[busy], hidden[busy])
            nats[chosen, :length] += position_nats(denoiser, process, canvas.to(device), levels[:, chosen], seed)
        done += len(part)
        on_rows(done)
    return nats


def shown(canvas: Canvas, rows: Tensor, length: int, free: Tensor, hidden: Tensor) -> Canvas:
    """Some rows of a canvas, with what is to be written there and what must not be seen."""
    ids, valid = canvas.ids[rows, :length], canvas.valid[rows, :length]
    return Canvas(ids, ~free, valid, canvas.seeds[rows], hidden & valid)


def known_length(infiller: Infiller) -> Denoiser:
    """The infiller's network where the number of tokens is given: fillers are out of the question."""
    vocabulary = infiller.tokenizer.vocabulary
    allowed = vocabulary.writable(infiller.model.device)
    if vocabulary.filler_id is not None:
        allowed[vocabulary.filler_id] = False

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        return infiller.model.denoise(x_t, t, canvas, where).masked_fill(~allowed, -torch.inf)

    return denoise
