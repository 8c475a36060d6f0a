"""Tokens turn into the mask and stay there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.processes.base import ForwardProcess
from textdiff.processes.interpolating import InterpolatingProcess
from textdiff.processes.numerics import TINY, at, mask_of, wide
from textdiff.registry import context_field, register
from textdiff.schedules import LinearSchedule, Schedule
from textdiff.vocabulary import Vocabulary


@register(ForwardProcess, "absorbing")
@dataclass(frozen=True)
class AbsorbingProcess(InterpolatingProcess):
    """Masked diffusion: a token that does not survive becomes the mask.

    Raises:
        ConfigError: the vocabulary has no mask.

    Source: MDLM, arXiv 2406.07524, Eq. 10; MD4, arXiv 2406.04329.
    """

    vocabulary: Vocabulary = context_field()
    schedule: Schedule = field(default_factory=LinearSchedule)
    needs_time: ClassVar[bool] = False

    def __post_init__(self) -> None:
        mask_of(self.vocabulary)

    @property
    def mask_id(self) -> int:
        return mask_of(self.vocabulary)

    def nu(self, t: Tensor) -> Tensor:
        table = torch.zeros(self.vocabulary.size, dtype=torch.float64, device=t.device)
        table[self.mask_id] = 1
        return table.expand(*t.shape, -1)

    def noise(self, uniform: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(uniform, self.mask_id, dtype=torch.long)

    def noise_weight(self, ids: Tensor, t: Tensor) -> Tensor:
        return torch.where(ids == self.mask_id, 1 - self.schedule.alpha(t), 0.0)

    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        log_p = wide(log_p_x0)
        alpha_s, alpha_t = self.schedule.alpha(s.to(torch.float64)), self.schedule.alpha(t.to(torch.float64))
        gone = (1 - alpha_t).clamp(min=TINY)
        settles, stays = ((alpha_s - alpha_t) / gone).log(), ((1 - alpha_s) / gone).log()
        masked = x_t == self.mask_id
        moved = torch.where(masked.unsqueeze(-1), log_p + settles.unsqueeze(-1).to(log_p.dtype), -torch.inf)
        here = torch.where(masked, stays, 0.0).to(log_p.dtype)
        return moved.scatter(-1, x_t.unsqueeze(-1), here.unsqueeze(-1))

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """-alpha' / (1 - alpha) times the cross-entropy where x_t is the mask, else 0."""
        t = t.to(torch.float64).expand(x_t.shape)
        masked = x_t == self.mask_id
        weight = -self.schedule.alpha_prime(t) / (1 - self.schedule.alpha(t)).clamp(min=TINY)
        surprise = -at(wide(log_p_x0), x_0)
        return torch.where(masked, weight, 0.0) * torch.where(masked, surprise, 0.0)

    def scored(self, x_t: Tensor, free: Tensor) -> Tensor:
        return free & (x_t == self.mask_id)

    def mask_exactly(self, x_0: Tensor, free: Tensor, count: Tensor, draws: Draws) -> Tensor:
        """Masks exactly `count` free positions of each row, chosen uniformly (all, where there are no more).

        With n ~ U{1 .. F} for F free positions, F / n times the summed cross-entropy has the bound as its mean: the
        same as the integral over t, with much less noise.

        Args:
            x_0: Long [B, L].
            free: Bool [B, L].
            count: Long [B].
            draws: B rows.

        Returns:
            Long [B, L].
        """
        order = draws.uniform(x_0.shape[-1]).masked_fill(~free, 2.0).argsort(-1)
        rank = order.argsort(-1)
        return torch.where(free & (rank < count.unsqueeze(-1)), self.mask_id, x_0)
