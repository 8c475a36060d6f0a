"""How a distribution over tokens is reshaped before a token is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from textdiff.registry import family


@family
class Warp(ABC):
    """Acts on the leave-one-out distribution; confidence is taken from the one that is not warped."""

    @abstractmethod
    def __call__(self, log_p: Tensor) -> Tensor:
        """Normalised log-probabilities float [N, V] to normalised ones; a token of probability 0 keeps it."""
