"""Settled tokens are reconsidered as often at each noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.remdm_cap import everywhere
from textdiff.sampling.step import Step


@register(Renoise, "psi")
@dataclass(frozen=True)
class PsiRenoise(Renoise):
    """sigma = (1 - kappa)(1 - alpha_s): in a share 1 - kappa of the cases what stands is drawn and noised anew.

    Attributes:
        kappa: from 0 to 1; 1 sends nothing back.
        begins, ends: times, 1 >= begins > ends >= 0: it acts in steps that start after `ends`, at `begins` or later.

    Source: Psi-posteriors, arXiv 2602.21185; its image experiments have kappa 0.95 from 0.5 to 0.1.
    """

    kappa: float = 0.95
    begins: float = 1.0
    ends: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.kappa <= 1:
            raise ConfigError(f"kappa must be from 0 to 1, got {self.kappa}")
        if not 0 <= self.ends < self.begins <= 1:
            raise ConfigError(f"times must be 1 >= begins > ends >= 0, got {self.begins} and {self.ends}")

    def probability(self, step: Step) -> Tensor:
        acts = (self.ends < step.t) & (step.t <= self.begins)
        return everywhere(step, torch.where(acts, (1 - self.kappa) * (1 - step.alpha_s), 0.0))
