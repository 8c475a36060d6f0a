"""Straight to the moment at which the next token settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.grids.base import EARLIEST, TimeGrid
from textdiff.sampling.step import Step, Stream


@register(TimeGrid, "first_hitting")
@dataclass(frozen=True)
class FirstHittingGrid(TimeGrid):
    """1 - alpha_s = (1 - alpha_t) u^(1/n) with n tokens left: the law of the first of n independent settling times.

    Needs an accept policy that settles one token in each step. A row takes as many steps as it has tokens to write, and with
    the policy of the same name its law is that of infinitely many ancestral steps. Source: arXiv 2409.02908, section 4.
    """

    counts_steps: ClassVar[bool] = False

    def next(self, step: Step) -> Tensor:
        left = step.noisy.sum(-1)
        u = step.draws.fold(Stream.TIME).uniform().squeeze(-1)
        noise = (1 - step.alpha_t) * u ** (1 / left.clamp(min=1))
        return step.process.schedule.inverse(1 - noise).clamp(min=EARLIEST)

    def observed(self, step: Step) -> Tensor:
        return step.s

    def length(self, steps: int, free: Tensor) -> int:
        return int(free.sum(-1).max())
