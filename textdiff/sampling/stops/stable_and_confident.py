"""As soon as the network is sure of the rest and says so again."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.stops.base import Stop
from textdiff.sampling.stops.entropy import mean_entropy, require_threshold


@register(Stop, "stable_and_confident")
@dataclass(frozen=True)
class StableAndConfidentStop(Stop):
    """A row ends when its best guess has stayed the same and the mean entropy of what is noisy is below a threshold.

    The best guess are the tokens that stand, and the most probable ones elsewhere. A token that settles on another one than
    the most probable changes it.

    Attributes:
        patience: at least 1, for how many network calls in a row the guess must have been that of the call before.
        threshold: nats, at least 0; 0 never stops.

    Source: DiffusionGemma in the library transformers (`StableAndConfidentStoppingCriteria`), whose defaults these are.
    """

    patience: int = 1
    threshold: float = 0.005

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ConfigError(f"patience must be at least 1, got {self.patience}")
        require_threshold(self.threshold)

    def ends(self, step: Step) -> Tensor:
        return (step.same >= self.patience) & (mean_entropy(step) < self.threshold)
