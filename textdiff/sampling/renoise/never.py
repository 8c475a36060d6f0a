"""What has settled stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.step import Step


@register(Renoise, "never")
@dataclass(frozen=True)
class NeverRenoise(Renoise):
    """sigma = 0. Source: MDLM, arXiv 2406.07524."""

    final: ClassVar[bool] = True

    def probability(self, step: Step) -> Tensor:
        return torch.zeros_like(step.sure)
