"""A left-to-right model that reads each token once while it writes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from textdiff.denoiser import Reader, Readout
from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas


class ReadingOn:
    """The denoiser of a causal model for one canvas. Its logits are the model's; what they cost no longer grows with the text.

    Args:
        model: one whose network can read on; see `Backbone.read_on`.
        rows, length: of the canvas.
    """

    def __init__(self, model: DiffusionModel, rows: int, length: int) -> None:
        self._model = model
        self._cache = model.backbone.empty_cache(rows, length)
        self._forbidden = model.vocabulary.forbidden(model.device)

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        one = bool((where.sum(-1) == 1).all())  # nothing is kept of looks ahead
        if canvas.numbers is None or canvas.hidden is not None or not one:  # guidance hides what is given
            return self._model.read(x_t, t, canvas, where)
        hidden = self._model.backbone.read_on(self._cache, canvas.numbers, x_t, where.long().argmax(-1))
        return Readout(hidden, *self._model.backbone.output_layer(), self._forbidden)


def denoiser_for(model: DiffusionModel, canvas: Canvas) -> tuple[Reader, Canvas]:
    """What writes on a canvas, and the canvas as it is to be given to it.

    Where documents are told apart, given text is hidden, or the output has to be converted, all is read each time.
    """
    simple = canvas.documents is None and canvas.hidden is None and model.config.prediction == "leave_one_out"
    if not (simple and model.backbone.can_read_on):
        return model.read, canvas
    rows = torch.arange(len(canvas.ids), device=canvas.ids.device)
    return ReadingOn(model, *canvas.shape), replace(canvas, numbers=rows)
