"""Not before everything has settled by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.stops.base import Stop


@register(Stop, "all_settled")
@dataclass(frozen=True)
class AllSettledStop(Stop):
    """A row ends when its time is up, or once all of its tokens have settled for good. Source: MDLM, arXiv 2406.07524."""

    looks: ClassVar[bool] = False

    def ends(self, step: Step) -> Tensor:
        return torch.zeros_like(step.index, dtype=torch.bool)
