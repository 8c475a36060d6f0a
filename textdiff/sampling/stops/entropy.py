"""As soon as the network is sure of the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept.entropy import entropy_of
from textdiff.sampling.step import Step
from textdiff.sampling.stops.base import Stop


@register(Stop, "entropy")
@dataclass(frozen=True)
class EntropyStop(Stop):
    """A row ends when the mean entropy of p(x_0 | x_t) at its noisy positions, before warps, is below a threshold.

    Attributes:
        threshold: nats, at least 0; 0 never stops.

    Source: the second half of DiffusionGemma's rule, `stable_and_confident`.
    """

    threshold: float = 0.005

    def __post_init__(self) -> None:
        require_threshold(self.threshold)

    def ends(self, step: Step) -> Tensor:
        return mean_entropy(step) < self.threshold


def require_threshold(threshold: float) -> None:
    """Raises ConfigError unless it is one of entropies."""
    if not (threshold >= 0 and math.isfinite(threshold)):
        raise ConfigError(f"threshold must be a finite number of at least 0, got {threshold}")


def mean_entropy(step: Step) -> Tensor:
    """Nats, float64 [B], over the packed positions of each row."""
    entropy = entropy_of(step.log_p).double()
    zeros = torch.zeros_like(step.t)
    # Added one after the other, so that the sum does not depend on what else is in the batch.
    return zeros.index_add(0, step.row, entropy) / zeros.index_add(0, step.row, torch.ones_like(entropy)).clamp(min=1)
