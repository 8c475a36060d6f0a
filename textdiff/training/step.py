"""What runs forward in a training step, as one module: FSDP2 shards it as a whole."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from textdiff.backbones import visible_with
from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.objectives import LossReport, Objective
from textdiff.text.canvas import Canvas

_AHEAD = 0xA4EAD


class TrainingStep(nn.Module):
    """The model under its objective. Gradients are exchanged afterwards, by `BatchGradient`.

    Autocast is ours and not Accelerate's, whose precision is fixed for all of a process's life by the first run in it.

    Attributes:
        seen_ahead: the probability that a position sees a later one.
    """

    seen_ahead = 1.0

    def __init__(self, model: DiffusionModel, objective: Objective, bf16: bool) -> None:
        super().__init__()
        self.bf16 = bf16
        self.model = model
        self.objective = objective

    def forward(self, canvas: Canvas, level: Tensor) -> LossReport:
        """One estimate; the noise of each row comes from its own seed."""
        with self._sight(canvas), torch.autocast(canvas.ids.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.objective(self.model.read, self.model.process, canvas, level, Draws.seeded(canvas.seeds))

    def _sight(self, canvas: Canvas) -> AbstractContextManager[None]:
        """Narrows what the network sees while it is not yet to see all."""
        if self.seen_ahead >= 1:
            return nullcontext()
        draws = Draws.seeded(canvas.seeds).fold(_AHEAD)
        return self.model.backbone.seeing(visible_with(draws, canvas.shape[1], self.seen_ahead))
