"""Warm while little stands, cool towards the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.warps.base import Warp
from textdiff.sampling.warps.temperature import tempered


@register(Warp, "cooling")
@dataclass(frozen=True)
class CoolingWarp(Warp):
    """p^(1/temperature), with a temperature that goes from `start` to `end` as a row loses its noise.

    It is end + (start - end) share^power: with a large power the tail of a run is nearly as cold as its end (`greedy_tail` is
    cold in the last step only), with a start below the end it warms up instead. Where nothing settles before the end, the time
    tells what is left.

    Attributes:
        start, end: finite, above 0.
        power: above 0; 1 is linear.
        by: what share is: `noise`, of the tokens of a row that have not settled, or `time`, of the time to come.
    """

    start: float = 1.0
    end: float = 0.5
    power: float = 1.0
    by: Literal["noise", "time"] = "noise"

    def __post_init__(self) -> None:
        for name in ("start", "end", "power"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name} must be a finite number above 0, got {value}")

    def at(self, step: Step) -> Warp:
        share = step.t if self.by == "time" else step.noisy.sum(-1) / step.free.sum(-1).clamp(min=1)
        warmth = self.end + (self.start - self.end) * share**self.power
        return _Cooled(warmth[step.row].unsqueeze(-1).to(step.log_p.dtype))

    def __call__(self, log_p: Tensor) -> Tensor:
        return log_p


@dataclass(frozen=True)
class _Cooled(Warp):
    """Of a step. temperature: [N, 1]."""

    temperature: Tensor

    def __call__(self, log_p: Tensor) -> Tensor:
        return tempered(log_p, self.temperature)

    def softened(self, log_p: Tensor) -> Tensor:
        return self(log_p)
