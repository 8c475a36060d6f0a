"""As many steps as the accept policy takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.grids.base import EARLIEST, TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "adaptive")
@dataclass(frozen=True)
class AdaptiveGrid(TimeGrid):
    """The time is that at which the share of noise is what it is; the number of steps of the sampler does not matter.

    Needs an accept policy that settles some tokens in every step. Nothing settles for want of steps.
    """

    counts_steps: ClassVar[bool] = False

    def next(self, step: Step) -> Tensor:
        return _time(step, step.noisy.sum(-1) - 1).clamp(min=EARLIEST)

    def observed(self, step: Step) -> Tensor:
        return _time(step, step.noisy.sum(-1))

    def length(self, steps: int, free: Tensor) -> int:
        return int(free.sum(-1).max())


def _time(step: Step, noisy: Tensor) -> Tensor:
    """Float64 [B]: when so many of the free tokens are expected to be noise."""
    share = noisy / step.free.sum(-1).clamp(min=1).to(torch.float64)
    return step.process.schedule.inverse(1 - share)
