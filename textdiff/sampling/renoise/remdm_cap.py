"""Settled tokens are reconsidered, at a bounded rate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.step import Step


@register(Renoise, "remdm_cap")
@dataclass(frozen=True)
class RemdmCapRenoise(Renoise):
    """sigma = min(cap, (1 - alpha_s) / alpha_t), the largest that keeps the marginals being the second.

    Attributes:
        cap: from 0 to 1.

    Source: ReMDM, arXiv 2503.00307, section 4.1.
    """

    cap: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.cap <= 1:
            raise ConfigError(f"cap must be from 0 to 1, got {self.cap}")

    def probability(self, step: Step) -> Tensor:
        return everywhere(step, largest_sigma(step).clamp(max=self.cap))


def everywhere(step: Step, sigma: Tensor) -> Tensor:
    """Float64 [B, L]: the same sigma [B] at all positions of a row."""
    return sigma.unsqueeze(-1).expand(step.noisy.shape)


def largest_sigma(step: Step) -> Tensor:
    """Float64 [B]: the largest sigma with which the marginals are kept, and no probability is above 1."""
    return ((1 - step.alpha_s) / step.alpha_t.clamp(min=1e-12)).clamp(max=1)
