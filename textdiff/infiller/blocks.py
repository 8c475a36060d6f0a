"""Text of any length, block after block: each sees what was written before it, as much as the context holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.errors import UsageError
from textdiff.infiller.caching import Cache, CachedBlock, require_cache
from textdiff.infiller.reading_on import denoiser_for
from textdiff.infiller.writing import Progress, Written, write
from textdiff.model import DiffusionModel
from textdiff.sampling import Constraint, Event, Sampler
from textdiff.sampling.guidance import blindfolded
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Block:
    """A stretch of a text that is written at once.

    Attributes:
        first: where the text that it sees begins.
        start, stop: the positions start … stop - 1 are written; all before are known.
        ahead: how many positions behind it the network sees as noise.
    """

    first: int
    start: int
    stop: int
    ahead: int


@dataclass(frozen=True)
class Blocks:
    """How a text is cut into blocks.

    Attributes:
        size: positions of a block; the last one may be shorter.
        context_length: positions that the network sees at once.
        looks_ahead: whether it sees noise where the text goes on behind a block.
        cache: what is kept while a block is written; see `CachedBlock`.

    Raises:
        UsageError: the context has no room for a block and text before it.
    """

    size: int
    context_length: int
    looks_ahead: bool
    cache: Cache | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size < self.context_length:
            raise UsageError(
                f"block_size must be from 1 to {self.context_length - 1}, since the model's context of "
                f"{self.context_length} tokens must hold a block and text before it, got {self.size}"
            )

    @staticmethod
    def of(model: DiffusionModel, size: int | None, length: int, cache: Cache | None = None) -> Blocks | None:
        """The blocks of a text of this length; None where it is written at once.

        size: as it was asked for. Where nobody asked, texts longer than the context have blocks of a quarter of it.

        A network that is told the time would take noise behind the block for as far gone as the block itself.

        Raises:
            UsageError: blocks that the context cannot hold, or a cache that the model or the text has no use for.
        """
        context = int(model.config.context_length)
        if cache is not None:
            require_cache(model)
            if size is None and length <= context:
                raise UsageError("cache keeps what stands around a block: give block_size too")
        if size is None and length <= context:
            return None
        ahead = not (model.process.left_to_right or model.process.needs_time or model.backbone.uses_time)
        return Blocks(max(1, context // 4) if size is None else size, context, ahead, cache)

    def cut(self, given: int, length: int) -> Iterator[Block]:
        """The blocks of a text of `length` tokens, of which the first `given` are known, in the order of writing."""
        most_ahead = min(self.context_length // 8, (self.context_length - self.size) // 2) if self.looks_ahead else 0
        for start in range(given, length, self.size):
            stop = min(start + self.size, length)
            ahead = min(most_ahead, length - stop)
            yield Block(max(0, stop + ahead - self.context_length), start, stop, ahead)


def write_blocks(
    model: DiffusionModel,
    sampler: Sampler,
    canvas: Canvas,
    blocks: Blocks,
    constraint: Callable[[Canvas], Constraint],
    on_progress: Callable[[Progress], None] | None = None,
    weak: Denoiser | None = None,
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
    """
    given, length = int(canvas.frozen[:1].sum()), canvas.shape[1]
    ids = torch.where(canvas.free, model.process.sample_noise(canvas.ids, Draws.seeded(canvas.seeds)), canvas.ids)
    written = Written(ids, torch.zeros(canvas.shape, dtype=torch.float64), torch.zeros_like(canvas.seeds), 0)
    for block in blocks.cut(given, length):
        part = _part(canvas, written.ids, block, given)
        away_from = weak or blindfolded(model.denoise, max(0, given - block.first))
        made = write(
            model,
            sampler,
            part,
            constraint(part),
            None if on_progress is None else partial(_show, on_progress, written, block),
            _looking_ahead(model, away_from, block),
            partial(block_denoiser, block, blocks.cache),
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


def block_denoiser(block: Block, cache: Cache | None, model: DiffusionModel, canvas: Canvas) -> tuple[Denoiser, Canvas]:
    """What writes a block: on a canvas that begins where it sees and ends with it."""
    if cache is None:
        denoise, canvas = denoiser_for(model, canvas)
    else:
        rows, length = len(canvas.ids), canvas.shape[1] + block.ahead
        denoise = CachedBlock(model, rows, length, slice(block.start - block.first, canvas.shape[1]), cache)
        canvas = replace(canvas, numbers=torch.arange(rows, device=canvas.ids.device))
    return _looking_ahead(model, denoise, block), canvas


def _looking_ahead(model: DiffusionModel, denoiser: Denoiser, block: Block) -> Denoiser:
    """The same network, which sees noise where the text goes on behind a block: it tells it that the text does."""
    if not block.ahead:
        return denoiser
    noise, ahead = model.vocabulary.mask_id, (0, block.ahead)

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        hidden = None if canvas.hidden is None else pad(canvas.hidden, ahead)
        canvas = replace(
            canvas,
            ids=pad(canvas.ids, ahead),
            frozen=pad(canvas.frozen, ahead),
            valid=pad(canvas.valid, ahead, value=True),
            hidden=hidden,
        )
        return denoiser(pad(x_t, ahead, value=noise), t, canvas, pad(where, ahead))

    return denoise


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
