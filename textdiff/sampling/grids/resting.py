"""Each time is kept for some steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "resting")
@dataclass(frozen=True)
class RestingGrid(TimeGrid):
    """Steps of equal length in time, with `rests` steps between two of them in which time stands still.

    All count as steps. In a rest a corrector acts: the transition `gibbs`, or with masks the renoise policy `remdm_loop`.

    Attributes:
        rests: at least 0.

    Source: predictor-corrector sampling, arXiv 2011.13456, algorithm 1; for tokens arXiv 2205.14987, section 4.4.
    """

    known: ClassVar[bool] = True

    rests: int = 1

    def __post_init__(self) -> None:
        if self.rests < 0:
            raise ConfigError(f"rests must be at least 0, got {self.rests}")

    def next(self, step: Step) -> Tensor:
        moves = (step.steps - 1) // (self.rests + 1) + 1
        done = torch.div(step.index, self.rests + 1, rounding_mode="floor") + 1
        # While time stands still, so does every bit of it, and s is t exactly.
        return (moves - done).clamp(min=0).to(torch.float64) / moves
