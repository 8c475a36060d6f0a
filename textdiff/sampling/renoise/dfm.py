"""Noise goes forward and back, most of all in the middle of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.forward_backward import forward_share
from textdiff.sampling.renoise.remdm_cap import everywhere, largest_sigma
from textdiff.sampling.step import Step


@register(Renoise, "dfm")
@dataclass(frozen=True)
class DfmRenoise(Renoise):
    """sigma = beta (alpha_s - alpha_t) / alpha_t with beta = strength alpha_t^data_power (1 - alpha_t)^noise_power.

    As `forward_backward`, which has beta 1: noise settles at 1 + beta times the rate of the reverse kernel. It is the largest
    sigma that keeps the marginals where beta asks for more; the source makes its steps shorter there.

    Attributes:
        strength, data_power, noise_power: finite, at least 0; a power of 0 leaves its factor out.

    Source: the corrector of Discrete Flow Matching, arXiv 2407.15595, appendix D, for masks; as a case of
        ReMDM, arXiv 2503.00307, appendix, whose experiments have these values.
    """

    strength: float = 10.0
    data_power: float = 0.25
    noise_power: float = 0.25

    def __post_init__(self) -> None:
        for name in ("strength", "data_power", "noise_power"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"{name} must be a finite number of at least 0, got {value}")

    def probability(self, step: Step) -> Tensor:
        beta = self.strength * step.alpha_t**self.data_power * (1 - step.alpha_t) ** self.noise_power
        return everywhere(step, torch.minimum(beta * forward_share(step), largest_sigma(step)))
