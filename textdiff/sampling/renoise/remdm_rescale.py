"""Settled tokens are reconsidered, at a share of the largest rate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.remdm_cap import everywhere, largest_sigma
from textdiff.sampling.step import Step


@register(Renoise, "remdm_rescale")
@dataclass(frozen=True)
class RemdmRescaleRenoise(Renoise):
    """sigma = eta min(1, (1 - alpha_s) / alpha_t): a share of the largest that keeps the marginals.

    Attributes:
        eta: from 0 to 1.

    Source: ReMDM, arXiv 2503.00307, section 4.1.
    """

    eta: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"eta must be from 0 to 1, got {self.eta}")

    def probability(self, step: Step) -> Tensor:
        return everywhere(step, self.eta * largest_sigma(step))
