"""Tokens are routed to x_0 or to noise by how sure the network is at their place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step, Stream
from textdiff.sampling.transitions.base import Move, Transition
from textdiff.sampling.transitions.keep_best import best, scores
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp


@register(Transition, "rdm")
@dataclass(frozen=True)
class RdmTransition(Transition):
    """Proposes a token at every free position, settled or not; the surest are routed to x_0, the rest to noise.

    Where a settled token is, its place is scored by what is proposed there now, but the token itself stays or goes. What was
    noise and remains so moves on from t to s as noise does: it stays with probability alpha_t / alpha_s, else it is drawn anew.
    (1 - alpha_s) F of the F free positions are noise at s. Accept and renoise policies have no say.

    Attributes:
        conditional: whether a settled token goes back only where it is proposed again, with less probability than before.
        randomness: the scale of Gumbel noise on the scores at t = 1, at least 0; it falls in proportion to 1 - alpha_s.

    Source: RDM, arXiv 2302.05737, sections 4.2 and 4.3, for absorbing and uniform noise; options as in its authors' code
        (`uncond` or `cond`, `stochastic`).
    """

    alone: ClassVar[bool] = True
    final: ClassVar[bool] = False

    conditional: bool = False
    randomness: float = 0.0

    def __post_init__(self) -> None:
        if not (self.randomness >= 0 and math.isfinite(self.randomness)):
            raise ConfigError(f"randomness must be a finite number of at least 0, got {self.randomness}")

    @property
    def judges(self) -> bool:
        return True

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        step = replace(step, proposal=propose(step, warps))
        score, again = self._settled(step)
        score = scores(step, score)
        if self.randomness > 0:
            gumbel = -(-step.uniform(Stream.ACCEPT).log()).log()
            score = score + self.randomness * (1 - step.alpha_s).unsqueeze(-1) * gumbel
        stays = best(step, score)
        settled = step.pack(stays)
        back = step.settled & ~stays & again
        return Move(torch.where(settled, step.proposal, _noise(step)), settled, renoised=back)

    def _settled(self, step: Step) -> tuple[Tensor, Tensor]:
        """The scores of settled positions, float64 [B, L], and which of them may go back, Bool [B, L]."""
        old, every = step.judged, torch.ones_like(step.noisy)
        assert old is not None, "the loop judges for this transition"
        now = old.confidence.to(step.sure.dtype)
        score = step.sure.index_put((old.row, old.column), now)
        if not self.conditional:
            return score, every
        worse = (old.proposal == old.pack(old.x_t)) & (now < old.pack(old.sure))
        return score, every.index_put((old.row, old.column), worse)


def _noise(step: Step) -> Tensor:
    """Long [N]: what noise has become at s."""
    kept = (step.alpha_t / step.alpha_s.clamp(min=1e-12)).unsqueeze(-1)
    return step.pack(torch.where(step.uniform(Stream.RENOISE) < kept, step.x_t, step.noise))
