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
        needs_loop: whether it acts only where time stands still, as it does in the grids loop and resting.
    """

    final: ClassVar[bool] = False
    needs_loop: ClassVar[bool] = False

    @abstractmethod
    def probability(self, step: Step) -> Tensor:
        """sigma, float64 [B, L]: with what probability a settled position goes back to noise in this step.

        Where noise stands it is the share of what goes back that settling there makes up for: with one number for all
        positions of a row the marginals of ReMDM are kept.
        """
