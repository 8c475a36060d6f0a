"""Noise that is the mask or a wrong token."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.processes.base import ForwardProcess
from textdiff.processes.even import even_bound
from textdiff.processes.interpolating import InterpolatingProcess
from textdiff.processes.numerics import TINY, mask_of, uniform_token, writable_mask
from textdiff.registry import context_field, register
from textdiff.schedules import LinearSchedule, Schedule
from textdiff.vocabulary import Vocabulary


@register(ForwardProcess, "hybrid")
@dataclass(frozen=True)
class HybridProcess(InterpolatingProcess):
    """Of the tokens that do not survive a share becomes the mask, the others become any writable id.

    The share moves evenly with 1 - alpha_t, from `mask_share` near data to `final_mask_share` at noise; with a final
    share of 1, generation starts from masks only and the model still learns to correct wrong tokens. Any such path is
    a valid process.

    Attributes:
        mask_share: in [0, 1].
        final_mask_share: in [0, 1]; None: the share stays the same.

    Raises:
        ConfigError: a share is out of range, or the vocabulary has no mask.

    Source: GIDD, arXiv 2503.04482.
    """

    vocabulary: Vocabulary = context_field()
    schedule: Schedule = field(default_factory=LinearSchedule)
    mask_share: float = 0.8
    final_mask_share: float | None = None

    def __post_init__(self) -> None:
        mask_of(self.vocabulary)
        for name, share in (("mask_share", self.mask_share), ("final_mask_share", self.final_mask_share)):
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, got {share}")
        super().__post_init__()

    def _share(self, t: Tensor) -> Tensor:
        """The probability that noise at t is the mask."""
        share: Tensor = self.mask_share + (self._final - self.mask_share) * (1 - self.schedule.alpha(t))
        return share

    @property
    def _final(self) -> float:
        return self.mask_share if self.final_mask_share is None else self.final_mask_share

    def nu(self, t: Tensor) -> Tensor:
        ids = torch.arange(self.vocabulary.size, device=t.device)
        return self._nu_at(ids, self._share(t).unsqueeze(-1))

    def noise(self, uniform: Tensor, t: Tensor) -> Tensor:
        share = self._share(t)
        rest = (uniform - share) / (1 - share).clamp(min=2.0**-53)
        token = uniform_token(self.vocabulary, rest.clamp(min=0))
        return torch.where(uniform < share, mask_of(self.vocabulary), token)

    def noise_weight(self, ids: Tensor, t: Tensor) -> Tensor:
        weight: Tensor = (1 - self.schedule.alpha(t)) * self._nu_at(ids, self._share(t))
        return weight

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        if self.mask_share == self._final == 1:  # no word is noise
            return super().nelbo(log_p_x0, x_0, x_t, t)
        t = t.to(torch.float64).expand(x_t.shape)
        alpha, share, final = self.schedule.alpha(t).clamp(min=TINY), self._share(t), self._final
        # 1 - share, exact also where it falls to 0 as fast as alpha does.
        words = (1 - final) + (final - self.mask_share) * alpha
        each = (words / self.vocabulary.writable_count).clamp(min=TINY**2)
        odds, masked = alpha / ((1 - alpha).clamp(min=TINY) * each), share / each
        terms = even_bound(log_p_x0, x_0, x_t, odds, self.vocabulary.writable_count, masked)
        here = torch.where(x_t == mask_of(self.vocabulary), masked, torch.where(x_0 == x_t, 1 + odds, 1.0))
        rate = self._rate(x_t, t)
        return torch.where(rate > 0, rate * terms / here.clamp(min=TINY), 0.0)

    def _rate(self, ids: Tensor, t: Tensor) -> Tensor:
        share, alpha, slope = self._share(t), self.schedule.alpha(t), self.schedule.alpha_prime(t)
        moving = -(self._final - self.mask_share) * slope
        to_mask = (1 - alpha) * moving - slope / alpha.clamp(min=TINY) * share
        to_word = -(1 - alpha) * moving - slope / alpha.clamp(min=TINY) * (1 - share)
        writable = writable_mask(self.vocabulary, ids.device)[ids]
        rate: Tensor = torch.where(
            ids == mask_of(self.vocabulary), to_mask, writable * to_word / self.vocabulary.writable_count
        )
        return rate

    def _nu_at(self, ids: Tensor, share: Tensor) -> Tensor:
        each = (1 - share) / self.vocabulary.writable_count
        return torch.where(
            ids == mask_of(self.vocabulary), share, each * writable_mask(self.vocabulary, ids.device)[ids]
        )
