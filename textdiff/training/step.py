"""What runs forward in a training step, as one module so that Accelerate can wrap it."""

from __future__ import annotations

from torch import Tensor, nn

from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.objectives import LossReport, Objective
from textdiff.text.canvas import Canvas


class TrainingStep(nn.Module):
    """The model under its objective. Gradients are synchronised by whatever wraps this module."""

    def __init__(self, model: DiffusionModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, canvas: Canvas, level: Tensor) -> LossReport:
        """One estimate; the noise of each row comes from its own seed."""
        return self.objective(self.model.denoise, self.model.process, canvas, level, Draws.seeded(canvas.seeds))
