"""Steps in which equally many tokens settle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "equal_alpha")
@dataclass(frozen=True)
class EqualAlphaGrid(TimeGrid):
    """alpha_s = (k + 1) / steps: the same share of tokens settles in each step, whatever the schedule.

    With the linear schedule this is the uniform grid.
    """

    known: ClassVar[bool] = True

    def next(self, step: Step) -> Tensor:
        part = (step.index + 1).to(torch.float64) / step.steps
        return torch.where(part < 1, step.process.schedule.inverse(part.clamp(max=1)), 0.0)
