"""Nearly to the data by equal steps, and one step from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "tail")
@dataclass(frozen=True)
class TailGrid(TimeGrid):
    """All steps but the last lead evenly from 1 to `begins`, where hardly a token is noise; the last one ends at 0.

    In that last step the network reads a text that is finished but for its mistakes.

    Attributes:
        begins: above 0 and below 1, the time at which the last step begins.

    Source: the noise removal step of MDLM, arXiv 2406.07524, and of Duo, arXiv 2506.10892, and its time.
    """

    known: ClassVar[bool] = True

    begins: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.begins < 1:
            raise ConfigError(f"begins must be above 0 and below 1, got {self.begins}")

    def next(self, step: Step) -> Tensor:
        last = max(step.steps - 1, 1)
        left = (last - 1 - step.index).to(torch.float64) / last
        return torch.where(step.index < step.steps - 1, self.begins + (1 - self.begins) * left, 0.0)
