"""Tokens turn into other tokens, each writable one equally likely."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from textdiff.processes.base import ForwardProcess
from textdiff.processes.even import even_bound
from textdiff.processes.interpolating import InterpolatingProcess
from textdiff.processes.numerics import TINY, at, uniform_token, wide, writable_mask
from textdiff.registry import context_field, register
from textdiff.schedules import LinearSchedule, Schedule
from textdiff.vocabulary import Vocabulary


@register(ForwardProcess, "uniform")
@dataclass(frozen=True)
class UniformProcess(InterpolatingProcess):
    """A token that does not survive becomes any of the K writable ids, itself included; special ids never appear.

    In the closed forms odds = K alpha / (1 - alpha) is by how much survival outweighs one noise token.

    Source: UDLM, arXiv 2412.10193; Duo, arXiv 2506.10892.
    """

    vocabulary: Vocabulary = context_field()
    schedule: Schedule = field(default_factory=LinearSchedule)

    def __post_init__(self) -> None:
        """Nothing to check: any schedule is valid."""

    def nu(self, t: Tensor) -> Tensor:
        table = writable_mask(self.vocabulary, t.device).to(torch.float64) / self.vocabulary.writable_count
        return table.expand(*t.shape, -1)

    def noise(self, uniform: Tensor, t: Tensor) -> Tensor:
        return uniform_token(self.vocabulary, uniform)

    def noise_weight(self, ids: Tensor, t: Tensor) -> Tensor:
        writable = writable_mask(self.vocabulary, ids.device)[ids]
        return writable * (1 - self.schedule.alpha(t)) / self.vocabulary.writable_count

    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        log_p, count = wide(log_p_x0), self.vocabulary.writable_count
        alpha_s, alpha_t = (self.schedule.alpha(time.to(torch.float64).expand(x_t.shape)) for time in (s, t))
        odds = count * alpha_t / (alpha_s - alpha_t).clamp(min=TINY)  # of having stayed since s
        signal = (count * alpha_s).log().unsqueeze(-1).to(log_p.dtype) + log_p
        at_s = torch.logaddexp(signal, (1 - alpha_s).log().unsqueeze(-1).to(log_p.dtype))
        here = at(at_s, x_t).to(torch.float64)
        # The weights at s sum to K; staying adds `odds` times the one at x_t.
        total = torch.log(count + odds * here.exp())
        result = (at_s - total.unsqueeze(-1).to(log_p.dtype)).masked_fill(
            ~writable_mask(self.vocabulary, x_t.device), -torch.inf
        )
        return result.scatter(-1, x_t.unsqueeze(-1), (here + odds.log1p() - total).unsqueeze(-1).to(log_p.dtype))

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        count = self.vocabulary.writable_count
        t = t.to(torch.float64).expand(x_t.shape)
        alpha = self.schedule.alpha(t).clamp(min=TINY)
        odds = count * alpha / (1 - alpha).clamp(min=TINY)
        terms = even_bound(log_p_x0, x_0, x_t, odds, count) / torch.where(x_0 == x_t, 1 + odds, 1.0)
        return -self.schedule.alpha_prime(t) / (count * alpha) * terms
