"""What the policies that rank positions share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from textdiff.sampling.accept.base import Accept
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.step import Step


def staying(step: Step) -> Tensor:
    """Long [B]: how many are noise at s, the nearest number to (1 - alpha_s) F of the F free positions."""
    return torch.round((1 - step.alpha_s) * step.free.sum(-1)).long()


def deficit(step: Step) -> Tensor:
    """Long [B]: how many must settle for that number to stay."""
    return (step.noisy.sum(-1) + step.renoised.sum(-1) - staying(step)).clamp(min=0)


def rank_by_score(row: Tensor, score: Tensor) -> Tensor:
    """Long [N]: the place of each position among those of its row by falling score, from 0; of equal ones the first leads.

    Scores that differ by less than rounding errors do are equal: a constraint makes many so (all that follows from one
    choice is as probable as that choice), and the last bits, which depend on the batch, must not decide between them.
    """
    return rank_within(row, -score.round(decimals=_DECIMALS))


_DECIMALS = 3


class RankedAccept(Accept, ABC):
    """The positions with the highest scores settle; how many follows alpha_s. A row that lacks none asks nothing."""

    @abstractmethod
    def score(self, step: Step) -> Tensor:
        """Float [N]: what a planned position is worth; the highest of each row settle."""

    def plan(self, step: Step) -> Tensor:
        return step.noisy & (deficit(step) > 0).unsqueeze(-1)

    def choose(self, step: Step) -> Tensor:
        return rank_by_score(step.row, self.score(step)) < deficit(step)[step.row]
