"""A model that reads block by block keeps what it has read: that is exact, for what is written never looks ahead."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from textdiff.backbones.block_masks import before_and_within
from textdiff.denoiser import Readout
from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas


class ReadingBlocks:
    """Denoises one block after the other, each token of the text before it read once. Its logits are the model's.

    Source: BD3-LM, arXiv 2503.09573 (sampling with keys and values of finished blocks).

    Args:
        model: one that reads block by block.
        rows, length: of the canvas.
    """

    def __init__(self, model: DiffusionModel, rows: int, length: int) -> None:
        assert model.process.causal_blocks is not None
        self._model, self._size, self._rows = model, model.process.causal_blocks, rows
        self._kept = model.backbone.empty_cache(rows, length)
        self._first = self._known = 0
        self._forbidden = model.vocabulary.forbidden(model.device)

    @torch.no_grad()
    def open(self, first: int, canvas: Canvas) -> tuple[ReadingBlocks, Canvas]:
        """What writes the next block, and the canvas as it is to be given to it.

        Args:
            first: where the canvas begins in the text. If that is elsewhere than before, all is read anew.
            canvas: of all rows; ends with the block, and all before that is clean.
        """
        self._known, self._first = (self._known if first == self._first else 0), first
        ids, self._stop = canvas.ids, canvas.shape[1]
        start = (self._stop - 1) // self._size * self._size
        rows = torch.arange(self._rows, device=ids.device)
        if start > self._known:
            nothing = torch.zeros_like(ids, dtype=torch.bool)
            seen = before_and_within(self._size, self._known, start, ids.device)
            part = slice(self._known, start)
            self._model.backbone.read_part(self._kept, rows, ids, nothing, part, start, nothing, seen)
        self._known = start
        return self, replace(canvas, numbers=rows)

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        """What is asked must stand in the block that is open."""
        assert canvas.numbers is not None
        part = slice(self._known, self._stop)
        shown = canvas.numbers, x_t, canvas.frozen
        hidden = self._model.backbone.read_part(self._kept, *shown, part, self._stop, where)
        return Readout(hidden, *self._model.backbone.output_layer(), self._forbidden)
