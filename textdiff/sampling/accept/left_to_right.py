"""One position at a time, from the left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.step import Step


@register(Accept, "left_to_right")
@dataclass(frozen=True)
class LeftToRightAccept(Accept):
    """The first noisy position of each row settles in each step."""

    places_are_told: ClassVar[bool] = True

    def plan(self, step: Step) -> Tensor:
        place = torch.arange(step.noisy.shape[-1], device=step.noisy.device)
        return step.noisy & (place == step.noisy.long().argmax(-1, keepdim=True))
