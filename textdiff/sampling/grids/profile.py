"""Times that were chosen beforehand, by what steps cost on data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "profile")
@dataclass(frozen=True)
class ProfileGrid(TimeGrid):
    """alpha after each step is given, whatever the schedule; `scripts/fit_grid.py` finds it for a model and texts.

    With n numbers it is that of n + 1 steps, which are the whole way from 0 to 1; for another number of steps it lies on
    straight lines between these.

    Attributes:
        alphas: rising, between 0 and 1; none: evenly, as in the grid `equal_alpha`.

    Source: what to choose, arXiv 2510.25544 and arXiv 2106.03802.
    """

    known: ClassVar[bool] = True

    alphas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        knots = (0.0, *self.alphas, 1.0)
        if any(not before < after for before, after in pairwise(knots)):
            raise ConfigError(f"alphas must rise and lie between 0 and 1, got {list(self.alphas)}")

    def next(self, step: Step) -> Tensor:
        part = (step.index + 1).to(torch.float64) / step.steps
        knots = torch.tensor((0.0, *self.alphas, 1.0), dtype=torch.float64, device=part.device)
        place = (part * (len(knots) - 1)).clamp(max=len(knots) - 1)
        # A product that misses a whole number by a rounding error means that number.
        place = torch.where((place - place.round()).abs() < 1e-9, place.round(), place)
        low = place.floor().long().clamp(max=len(knots) - 2)
        alpha = torch.lerp(knots[low], knots[low + 1], place - low)
        return torch.where(part < 1, step.process.schedule.inverse(alpha), 0.0)
