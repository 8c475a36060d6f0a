"""A block that is written while what the network makes of its surroundings is kept: faster, and no longer exact."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.errors import UsageError
from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas

Cache = Literal["prefix", "dual"]
"""What is kept while a block is written: what stands before it, or also what stands behind it."""


class CachedBlock:
    """The denoiser of one block of a canvas. What stands around the block is read once, with the block as it is then.

    In a network that looks both ways, keys and values of the surroundings depend on the block and so change with every
    token that settles. Here they stay as they were: an approximation, but for the first call.
    Source: Fast-dLLM, arXiv 2505.22618, section 3.2 (prefix cache and dual cache).

    Args:
        model: one whose network can; see `Backbone.read_part`.
        rows, length: of the canvas, the noise behind the block included. It has no padding.
        block: the places of the block.
        cache: what is kept.
        refresh: after so many calls a row is read whole again; by default never. At 1 nothing is approximate.
    """

    def __init__(
        self, model: DiffusionModel, rows: int, length: int, block: slice, cache: Cache, refresh: int | None = None
    ) -> None:
        self._model, self._refresh = model, refresh
        self._kept = model.backbone.empty_cache(rows, length)
        self._part = slice(block.start, block.stop if cache == "dual" else length)
        self._calls = torch.zeros(rows, dtype=torch.long, device=model.device)
        self._forbidden = model.vocabulary.forbidden(model.device)

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        assert canvas.numbers is not None
        calls = self._calls[canvas.numbers]
        new = calls == 0 if self._refresh is None else calls % self._refresh == 0
        self._calls[canvas.numbers] = calls + 1
        hidden = None
        row = where.nonzero()[:, 0]
        for some, part in ((new, slice(0, x_t.shape[1])), (~new, self._part)):
            if some.any():
                found = self._read(x_t, canvas, where, some, part)
                hidden = found.new_empty(len(row), found.shape[-1]) if hidden is None else hidden
                hidden[some[row]] = found
        assert hidden is not None
        return Readout(hidden, *self._model.backbone.output_layer(), self._forbidden)

    def _read(self, x_t: Tensor, canvas: Canvas, where: Tensor, some: Tensor, part: slice) -> Tensor:
        """For some of the rows (Bool [R]) what is asked of them, [n, D], with that part of them read anew."""
        assert canvas.numbers is not None
        ids, given, asked = x_t[some], canvas.frozen[some], where[some]
        numbers = canvas.numbers[some]
        return self._model.backbone.read_part(self._kept, numbers, ids, given, part, x_t.shape[1], asked)


def require_cache(model: DiffusionModel) -> None:
    """Raises UsageError where nothing can be kept of a model's blocks."""
    if model.process.left_to_right:
        raise UsageError("a left-to-right model reads every token once as it is: leave cache out")
    if not (model.backbone.can_read_parts and model.config.prediction == "leave_one_out"):
        raise UsageError(
            "cache needs a network that keeps keys and values of a place whatever the noise level, and this one does not: "
            "leave it out"
        )
