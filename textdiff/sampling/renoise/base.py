"""Which settled positions go back to noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from textdiff.registry import family
from textdiff.sampling.step import Step


@family
class Renoise(ABC):
    """Runs before the accept policy, which then sees what is missing.

    Attributes:
        final: whether a settled token stays for ever, so that a row is finished once all of its tokens have settled.
    """

    final: ClassVar[bool] = False

    @abstractmethod
    def probability(self, step: Step) -> Tensor:
        """sigma, float64 [B]: with what probability each settled position of a row goes back to noise in this step."""
