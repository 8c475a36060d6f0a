"""What runs forward in a training step, as one module: FSDP2 shards it as a whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.objectives import LossReport, Objective
from textdiff.text.canvas import Canvas


class TrainingStep(nn.Module):
    """The model under its objective. Gradients are exchanged afterwards, by `BatchGradient`.

    Autocast is ours and not Accelerate's, whose precision is fixed for all of a process's life by the first run in it.
    """

    def __init__(self, model: DiffusionModel, objective: Objective, bf16: bool) -> None:
        super().__init__()
        self.bf16 = bf16
        self.model = model
        self.objective = objective

    def forward(self, canvas: Canvas, level: Tensor) -> LossReport:
        """One estimate; the noise of each row comes from its own seed."""
        with torch.autocast(canvas.ids.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.objective(self.model.read, self.model.process, canvas, level, Draws.seeded(canvas.seeds))
