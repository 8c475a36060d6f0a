"""The count form of noise that replaces tokens: how many are hit is drawn before the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from textdiff.draws import Draws
from textdiff.objectives.estimators import Corruption, Estimator, LevelNats, TimeForm, estimator_for, of_rows
from textdiff.processes import InterpolatingProcess
from textdiff.text.canvas import Canvas

_HIT, _REPLACED = 1, 2
_END = 2.0**-50
"""How near to the ends of noise a row may come: the slope of a schedule may be 0 at them."""


@dataclass(frozen=True)
class HitForm(Estimator):
    """Any noise that replaces tokens one by one: n ~ U{0..F} of the F free ones are hit, and given n a time is drawn.

    Where s = 1 - alpha_t is even on (0, 1), and each token is hit by itself with probability s, n is even on 0 … F and
    s ~ Beta(n + 1, F - n + 1). Here n comes first, so that it can be spread evenly, and for n > 0 s ~ Beta(n, F - n + 1)
    has the weight (F + 1) s / n: a hit costs about 1 / s, and with s as it comes the estimate has no finite variance.

    The n-th of F sorted uniforms, one a token, has that law, and the tokens of the first n are hit. Without a hit, and with
    hits alone, s is the quantile at what is left of the level, and so is spread evenly too.
    """

    process: InterpolatingProcess
    axis: ClassVar[str] = "noise_share"
    integrand: ClassVar[str] = "nelbo_integrand"

    @property
    def for_training(self) -> Estimator:
        """By time: a network learns no better from this form, in which a hit weighs up to F + 1, and there some 2 sqrt(F)."""
        return TimeForm(self.process)

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        free, total = canvas.free, canvas.free.sum(-1)
        place = level.double() * (total + 1)
        count = torch.minimum(place.long(), total)
        order = draws.fold(_HIT).uniform(free.shape[-1]).masked_fill(~free, 2.0)
        last = pad(order.sort(-1).values, (0, 1)).gather(-1, (count - 1).clamp(min=0).unsqueeze(-1))
        hit = free & (order <= last) & (count > 0).unsqueeze(-1)
        share = _noise_share(place - count, count, total, last.squeeze(-1)).clamp(_END, 1 - _END)
        t = self.process.schedule.inverse(1 - share)
        noise = self.process.noise(draws.fold(_REPLACED).uniform(free.shape[-1]), t.unsqueeze(-1))
        x_t = torch.where(hit, noise, canvas.ids)
        return Corruption(x_t, t, self.process.scored(x_t, free), self.weight(count, total, share).unsqueeze(-1))

    def weight(self, count: Tensor, total: Tensor, share: Tensor) -> Tensor:
        """What a row counts for in the integral over s, of which n = count of F = total tokens are hit at s = share."""
        return torch.where(count > 0, (total + 1) * share / count.clamp(min=1), 1.0)

    def nats(self, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor) -> Tensor:
        x_0, x_t = corruption.packed(canvas.ids), corruption.packed(corruption.x_t)
        times, weight = corruption.t[corruption.row], corruption.packed_weight
        inner = self.process.nelbo(log_p_x0, x_0, x_t, times) / -self.process.schedule.alpha_prime(times)
        return inner * weight + self.process.boundary_nats(x_0)

    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """Over all n, s has the density F / (F + 1) + (1 - s)^F; what the ends of time add belongs to no s."""
        inner = nats - self.process.boundary_nats(corruption.packed(canvas.ids))
        total, share = canvas.free.sum(-1).double(), 1 - self.process.schedule.alpha(corruption.t.double())
        density = total / (total + 1) + (1 - share) ** total
        return LevelNats(share, of_rows(corruption, inner), total / density)


def _noise_share(rest: Tensor, count: Tensor, total: Tensor, last: Tensor) -> Tensor:
    """s [B] ~ Beta(n, F - n + 1), or Beta(1, F + 1) for n = 0; see `HitForm`.

    Args:
        rest: float64 [B], even on (0, 1).
        count, total: n and F, Long [B].
        last: the n-th of F sorted uniforms, float64 [B].
    """
    none = -torch.expm1(torch.log1p(-rest) / (total + 1))
    every = rest ** (1 / total.clamp(min=1))
    return torch.where(count == 0, none, torch.where(count == total, every, last))


@estimator_for.register
def _(process: InterpolatingProcess) -> Estimator:
    return HitForm(process)
