"""Down to little noise, a long rest there, and to the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.grids.base import TimeGrid
from textdiff.sampling.step import Step


@register(TimeGrid, "loop")
@dataclass(frozen=True)
class LoopGrid(TimeGrid):
    """alpha rises evenly to `alpha` over the first part of the steps, stays there, and rises evenly to 1 in the last part.

    While it stays nothing settles but what a renoise policy has put back: tokens are rewritten with nearly all of their
    context there.

    Attributes:
        alpha: above 0 and below 1, the share of tokens that stand meanwhile.
        begins: above 0 and below `ends`, the share of the steps that lead there.
        ends: below 1, the share of the steps after which the rest of the tokens are written.

    Source: ReMDM, arXiv 2503.00307, section 4.2; the defaults are those of its text experiments (t_on = 0.55, t_off = 0.05,
    alpha(t_on) = 0.9).
    """

    known: ClassVar[bool] = True

    alpha: float = 0.9
    begins: float = 0.45
    ends: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha must be above 0 and below 1, got {self.alpha}")
        if not 0 < self.begins < self.ends < 1:
            raise ConfigError(
                f"begins and ends must be shares of the steps with 0 < begins < ends < 1, got {self.begins}, {self.ends}"
            )

    def next(self, step: Step) -> Tensor:
        part = (step.index + 1).to(torch.float64) / step.steps
        rising = self.alpha * (part / self.begins).clamp(max=1)
        alpha = rising + (1 - self.alpha) * ((part - self.ends) / (1 - self.ends)).clamp(min=0, max=1)
        # While alpha stays, so does every bit of it, and s is t exactly.
        return torch.where(part < 1, step.process.schedule.inverse(alpha), 0.0)
