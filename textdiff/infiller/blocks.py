"""Text of any length, block after block: each sees what was written before it, as much as the context holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from textdiff.denoiser import Reader, Readout
from textdiff.draws import Draws
from textdiff.infiller.caching import Cache, CachedBlock
from textdiff.infiller.cutting import Block, Blocks
from textdiff.infiller.reading_blocks import ReadingBlocks
from textdiff.infiller.reading_on import denoiser_for
from textdiff.infiller.writing import ROWS, Progress, Written, write
from textdiff.model import DiffusionModel
from textdiff.sampling import Classifier, Constraint, Event, Sampler
from textdiff.sampling.guidance import blindfolded
from textdiff.text.canvas import Canvas


def write_blocks(
    model: DiffusionModel,
    sampler: Sampler,
    canvas: Canvas,
    blocks: Blocks,
    constraint: Callable[[Canvas], Constraint],
    on_progress: Callable[[Progress], None] | None = None,
    weak: Reader | None = None,
    classifier: Classifier | None = None,
) -> Written:
    """Writes a canvas from left to right, block after block: each is a run of the sampler by itself.

    A row's block depends on the text before it, the row's seed and how much has been written. The first has the
    randomness of a canvas that is written at once, so that one block for all is the same as none.

    Args:
        model, sampler: as for `write`.
        canvas: rows of one length; all have the same positions given, from the left.
        blocks: how it is cut.
        constraint: what must hold of a part of the canvas.
        on_progress: called while rows are written, with events of the whole canvas.
        weak: what guidance leads away from; by default the same network, which then sees what was written but not what
            was given.
        classifier: what guidance leads towards; it reads a block with as much text before it as the model does.
    """
    parts = [
        _write_rows(
            model,
            sampler,
            canvas.rows(rows),
            blocks,
            constraint,
            None if on_progress is None else partial(_renumbered, on_progress, rows),
            weak,
            classifier,
        )
        for rows in torch.split(torch.arange(len(canvas.ids)), ROWS)
    ]
    ids, log_p, nfe = (torch.cat(tensors) for tensors in zip(*((p.ids, p.log_p, p.nfe) for p in parts), strict=True))
    return Written(ids, log_p, nfe, max(part.steps for part in parts))


def _renumbered(on_progress: Callable[[Progress], None], rows: Tensor, progress: Progress) -> None:
    on_progress(Progress(rows[progress.rows], progress.event))


def _write_rows(
    model: DiffusionModel,
    sampler: Sampler,
    canvas: Canvas,
    blocks: Blocks,
    constraint: Callable[[Canvas], Constraint],
    on_progress: Callable[[Progress], None] | None,
    weak: Reader | None,
    classifier: Classifier | None,
) -> Written:
    """The same for rows that go through the network together."""
    given, length = int(canvas.frozen[:1].sum()), canvas.shape[1]
    exact = blocks.aligned and model.config.prediction == "leave_one_out"
    reading = ReadingBlocks(model, len(canvas.ids), min(length, blocks.context_length)) if exact else None
    ids = torch.where(canvas.free, model.process.sample_noise(canvas.ids, Draws.seeded(canvas.seeds)), canvas.ids)
    written = Written(ids, torch.zeros(canvas.shape, dtype=torch.float64), torch.zeros_like(canvas.seeds), 0)
    for block in blocks.cut(given, length):
        part = _part(canvas, written.ids, block, given)
        away_from = weak or blindfolded(model.read, max(0, given - block.first))
        made = write(
            model,
            sampler,
            part,
            constraint(part),
            None if on_progress is None else partial(_show, on_progress, written, block),
            _looking_ahead(model, away_from, block),
            partial(block_denoiser, block, blocks.cache, reading),
            classifier,
        )
        written = _with(written, made, block)
    return written


def _part(canvas: Canvas, ids: Tensor, block: Block, given: int) -> Canvas:
    """A block and the text before it, with its own randomness."""
    seen = slice(block.first, block.stop)
    places = torch.arange(block.first, block.stop)
    seeds = canvas.seeds if block.start == given else Draws.seeded(canvas.seeds).fold(block.start - given).seeds()
    frozen = (places < block.start).expand(len(ids), -1)
    return Canvas(ids[:, seen], frozen, canvas.valid[:, seen], seeds)


def _with(written: Written, made: Written, block: Block) -> Written:
    """The text with one block more."""
    ids, log_p, new = written.ids.clone(), written.log_p.clone(), slice(block.start, block.stop)
    ids[:, new], log_p[:, new] = (tensor[:, block.start - block.first :] for tensor in (made.ids, made.log_p))
    return Written(ids, log_p, written.nfe + made.nfe, written.steps + made.steps)


def block_denoiser(
    block: Block, cache: Cache | None, reading: ReadingBlocks | None, model: DiffusionModel, canvas: Canvas
) -> tuple[Reader, Canvas]:
    """What writes a block: on a canvas that begins where it sees and ends with it.

    reading: what has written the blocks before, where it keeps something of them.
    """
    if reading is not None:
        return reading.open(block.first, canvas)
    if cache is None:
        denoise, canvas = denoiser_for(model, canvas)
    else:
        rows, length = len(canvas.ids), canvas.shape[1] + block.ahead
        denoise = CachedBlock(model, rows, length, slice(block.start - block.first, canvas.shape[1]), cache)
        canvas = replace(canvas, numbers=torch.arange(rows, device=canvas.ids.device))
    return _looking_ahead(model, denoise, block), canvas


def _looking_ahead(model: DiffusionModel, denoiser: Reader, block: Block) -> Reader:
    """The same network, which sees noise where the text goes on behind a block: it tells it that the text does."""
    if not block.ahead:
        return denoiser
    noise, ahead = model.vocabulary.mask_id, (0, block.ahead)

    def read(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        hidden = None if canvas.hidden is None else pad(canvas.hidden, ahead)
        canvas = replace(
            canvas,
            ids=pad(canvas.ids, ahead),
            frozen=pad(canvas.frozen, ahead),
            valid=pad(canvas.valid, ahead, value=True),
            hidden=hidden,
        )
        return denoiser(pad(x_t, ahead, value=noise), t, canvas, pad(where, ahead))

    return read


def _show(on_progress: Callable[[Progress], None], written: Written, block: Block, progress: Progress) -> None:
    """Shows the whole text where a block is being written."""
    event, rows, new = progress.event, progress.rows, slice(block.start, block.stop)
    open_part = slice(block.start - block.first, None)
    ids, log_p = written.ids[rows], written.log_p[rows]
    ids[:, new], log_p[:, new] = event.ids[:, open_part].cpu(), event.log_p[:, open_part].cpu()
    noisy = torch.ones_like(ids, dtype=torch.bool)
    noisy[:, : block.start] = False
    noisy[:, new] = event.noisy[:, open_part].cpu()
    done = written.steps
    on_progress(Progress(rows, Event(done + event.step, done + event.steps, ids, noisy, log_p)))
