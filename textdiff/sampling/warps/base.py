"""How a distribution over tokens is reshaped before a token is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from textdiff.registry import family
from textdiff.sampling.step import Step


@family
class Warp(ABC):
    """Acts on the leave-one-out distribution; confidence is taken from the one that is not warped."""

    @abstractmethod
    def __call__(self, log_p: Tensor) -> Tensor:
        """Normalised log-probabilities float [N, V] to normalised ones; a token of probability 0 keeps it."""

    def at(self, step: Step) -> Warp:
        """The warp for the packed positions of a step, where it depends on the time or on what has settled.

        By default it does not.
        """
        return self

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is all that is left. Tokens drawn together are then the most probable ones."""
        return False

    def softened(self, log_p: Tensor) -> Tensor:
        """As a call, but no token loses all of its probability: for where a constraint needs what the warp cuts off.

        By default nothing changes.
        """
        return log_p
