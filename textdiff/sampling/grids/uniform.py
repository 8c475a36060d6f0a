"""Steps of equal length in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "uniform")
@dataclass(frozen=True)
class UniformGrid(TimeGrid):
    """s = 1 - (k + 1) / steps. Source: MDLM, arXiv 2406.07524."""

    known: ClassVar[bool] = True

    def next(self, step: Step) -> Tensor:
        return (step.steps - 1 - step.index).clamp(min=0).to(torch.float64) / step.steps
