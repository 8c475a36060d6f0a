"""Settled tokens are reconsidered while the noise level stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.remdm_cap import everywhere, largest_sigma
from textdiff.sampling.step import Step


@register(Renoise, "remdm_loop")
@dataclass(frozen=True)
class RemdmLoopRenoise(Renoise):
    """sigma = min(cap, (1 - alpha_s) / alpha_t) where s = t, else 0. Needs the grid `loop` or `resting`, which have such steps.

    Attributes:
        cap: from 0 to 1.

    Source: ReMDM, arXiv 2503.00307, section 4.2.
    """

    needs_loop: ClassVar[bool] = True

    cap: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.cap <= 1:
            raise ConfigError(f"cap must be from 0 to 1, got {self.cap}")

    def probability(self, step: Step) -> Tensor:
        return everywhere(step, torch.where(step.s == step.t, largest_sigma(step).clamp(max=self.cap), 0.0))
