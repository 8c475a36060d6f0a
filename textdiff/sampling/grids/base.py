"""At which times the steps end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from textdiff.registry import family
from textdiff.sampling.step import Step

EARLIEST = 1e-12
"""A token settles almost surely before 0; rounding must not say otherwise, or all the rest would settle at once."""


@family
class TimeGrid(ABC):
    """The times 1 … 0 of a run. Every row goes its own way.

    Attributes:
        counts_steps: whether the number of steps of the sampler matters; else the tokens decide.
        known: whether the times are known beforehand, as they follow from the numbers of the steps alone.
    """

    counts_steps: ClassVar[bool] = True
    known: ClassVar[bool] = False

    @abstractmethod
    def next(self, step: Step) -> Tensor:
        """s, float64 [B]: where the step that starts at `step.t` ends; at most t, and exactly 0 in a row's last step."""

    def observed(self, step: Step) -> Tensor:
        """Float64 [B]: the time that the network is told. t, unless the token changes at a known moment after it."""
        return step.t

    def length(self, steps: int, free: Tensor) -> int:
        """How many steps a run takes at most, for a sampler of so many. free: Bool [B, L]."""
        return steps
