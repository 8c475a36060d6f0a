"""Few tokens a step at first, many at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "cosine")
@dataclass(frozen=True)
class CosineGrid(TimeGrid):
    """The share of tokens that are still noise falls as cos(pi/2 k / steps), whatever the schedule.

    Source: MaskGIT, arXiv 2202.04200, section 3.3.
    """

    known: ClassVar[bool] = True

    def next(self, step: Step) -> Tensor:
        part = (step.index + 1).to(torch.float64) / step.steps
        s = step.process.schedule.inverse(1 - torch.cos(math.pi / 2 * part.clamp(max=1)))
        return torch.where(part < 1, s, 0.0)
