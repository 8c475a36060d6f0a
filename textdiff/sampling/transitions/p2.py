"""Everything is written at once, and what the text has proved wrong again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.keep_best import keep_best, scores
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp


@register(Transition, "p2")
@dataclass(frozen=True)
class P2Transition(Transition):
    """As `mask_predict`, but settled tokens are judged anew in each step: by eta log p of what stands, given the text of now.

    Their planner is the network itself, which so is asked at all free positions; what it says there of a token that it sees
    is worth more after training on tokens that are not noise. Where noise does not show, p is p(x_0 | x_t) for new and old
    tokens alike. Accept and renoise policies have no say.

    Attributes:
        eta: finite, at least 0: how ready a settled token is to go back; with 0 none does, which is the accept policy `top_k`.

    Source: Path Planning (P2) with self-planning, arXiv 2502.03540, and its authors' code, for masks; theirs adds Gumbel noise
        to the scores where tokens are drawn.
    """

    alone: ClassVar[bool] = True
    final: ClassVar[bool] = False

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not (self.eta >= 0 and math.isfinite(self.eta)):
            raise ConfigError(f"eta must be a finite number of at least 0, got {self.eta}")

    @property
    def judges(self) -> bool:
        return self.eta > 0

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        step = replace(step, proposal=propose(step, warps))
        return keep_best(step, scores(step, self._judged(step)))

    def _judged(self, step: Step) -> Tensor:
        """Float64 [B, L]: the scores of settled tokens."""
        old = step.judged
        if old is None:
            return torch.ones_like(step.sure)  # above every log p
        log_p = replace(old, proposal=old.pack(old.x_t)).confidence.to(step.sure.dtype)
        return step.sure.index_put((old.row, old.column), self.eta * log_p)
