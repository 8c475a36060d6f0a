"""What the policies that rank positions share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from textdiff.sampling.accept.base import Accept
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.step import Step


def deficit(step: Step) -> Tensor:
    """Long [B]: how many must settle for the nearest number to (1 - alpha_s) F of the F free positions to stay."""
    staying = torch.round((1 - step.alpha_s) * step.free.sum(-1)).long()
    return (step.noisy.sum(-1) + step.renoised.sum(-1) - staying).clamp(min=0)


class RankedAccept(Accept, ABC):
    """The positions with the highest scores settle; how many follows alpha_s. A row that lacks none asks nothing."""

    @abstractmethod
    def score(self, step: Step) -> Tensor:
        """Float [N]: what a planned position is worth; the highest of each row settle."""

    def plan(self, step: Step) -> Tensor:
        return step.noisy & (deficit(step) > 0).unsqueeze(-1)

    def choose(self, step: Step) -> Tensor:
        return rank_within(step.row, -self.score(step)) < deficit(step)[step.row]
