"""Processes that keep a token or replace it by noise.

q(x_t | x_0) = alpha_t onehot(x_0) + b_t with b_t = (1 - alpha_t) nu(t).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes.base import ForwardProcess
from textdiff.processes.numerics import TINY, at, excess, per_position, safe_log, wide, writable_mask

_SURVIVAL, _NOISE = 1, 2


class InterpolatingProcess(ForwardProcess):
    """All the maths from one method, `nu`. A member may override the rest by closed forms.

    Between times, alpha_{t|s} = alpha_t / alpha_s and b_{t|s} = b_t - alpha_{t|s} b_s, which must not be negative.

    Raises:
        ConfigError: b_t(z) / alpha_t falls somewhere, so that b_{t|s} would be negative there.

    Source: the bound is that of GIDD, arXiv 2503.04482, Theorem 3.2, written as a sum of terms that are never negative.
    """

    def __post_init__(self) -> None:
        t = torch.linspace(0, 1, 66, dtype=torch.float64)[1:-1]
        odds = self._noise(t) / self.schedule.alpha(t).unsqueeze(-1)
        if (odds.diff(dim=0) < -1e-9 * odds[1:]).any():
            raise ConfigError(f"{type(self).__name__} takes noise back: (1 - alpha_t) / alpha_t nu(t) must never fall")

    @abstractmethod
    def nu(self, t: Tensor) -> Tensor:
        """Where a token goes that has not survived until t: [..., V] for t [...], each row a distribution.

        Differentiable in t by torch, where it depends on t.
        """

    def noise(self, uniform: Tensor, t: Tensor) -> Tensor:
        """Draws from nu(t) by inverting its cumulative distribution: Long [B, L] for float64 [B, L], t alike."""
        cumulative = self.nu(t.expand(uniform.shape)).cumsum(-1)
        drawn = torch.searchsorted(cumulative, (uniform * cumulative[..., -1]).unsqueeze(-1), side="right").squeeze(-1)
        return drawn.clamp(max=self.vocabulary.size - 1)

    def noise_weight(self, ids: Tensor, t: Tensor) -> Tensor:
        """b_t at ids: [N] for ids [N]."""
        return at(self._noise(t.expand(ids.shape)), ids)

    def sample(self, x_0: Tensor, t: Tensor, draws: Draws) -> Tensor:
        t = per_position(t)
        survives = draws.fold(_SURVIVAL).uniform(x_0.shape[-1]) < self.schedule.alpha(t)
        return torch.where(survives, x_0, self.noise(draws.fold(_NOISE).uniform(x_0.shape[-1]), t))

    def sample_noise(self, like: Tensor, draws: Draws) -> Tensor:
        end = torch.ones((), dtype=torch.float64, device=like.device)
        return self.noise(draws.fold(_NOISE).uniform(like.shape[-1]), end)

    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        s, t = s.to(torch.float64).expand(x_t.shape), t.to(torch.float64).expand(x_t.shape)
        kept = self.schedule.alpha(t) / self.schedule.alpha(s).clamp(min=TINY)
        arrived = (self.noise_weight(x_t, t) - kept * self.noise_weight(x_t, s)).clamp(min=0)
        at_s = self._at(log_p_x0, s)
        moved = at_s + safe_log(arrived).unsqueeze(-1)
        stayed = at(at_s, x_t) + safe_log(kept + arrived)
        joint = moved.scatter(-1, x_t.unsqueeze(-1), stayed.unsqueeze(-1))
        return joint.log_softmax(-1).to(wide(log_p_x0).dtype)

    def log_rates(self, log_p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """log of lambda_t(z) p_t(j) / p_t(z) for z = x_t and j != z, with p_t = alpha_t p_x0 + b_t: what jumps to z, reversed.

        Source: arXiv 2205.14987, Proposition 1; with p_t(j) / p_t(z) as the concrete score, SEDD, arXiv 2310.16834, Eq. 3.
        """
        t = t.to(torch.float64).expand(x_t.shape)
        # At t = 1 alpha is 0 and lambda infinite; their product is what matters.
        alpha = self.schedule.alpha(t).clamp(min=TINY).log().unsqueeze(-1)
        log_p = torch.logaddexp(alpha + log_p_x0, safe_log(self._noise(t)))
        rate = self._rate(x_t, t)
        here = rate > 0  # elsewhere noise never leads to x_t, and no ratio matters
        leaves = safe_log(rate) - torch.where(here, at(log_p, x_t), 0.0)
        return (log_p + leaves.unsqueeze(-1)).scatter(-1, x_t.unsqueeze(-1), -torch.inf).to(wide(log_p_x0).dtype)

    def marginal(self, log_p_x0: Tensor, s: Tensor) -> Tensor:
        return self._at(log_p_x0, s.to(torch.float64).expand(log_p_x0.shape[:-1])).to(wide(log_p_x0).dtype)

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        t = t.to(torch.float64).expand(x_t.shape)
        alpha = self.schedule.alpha(t).unsqueeze(-1)
        alpha, b = alpha.clamp(min=TINY), (1 - alpha).clamp(min=TINY) * self.nu(t)
        rate = self._rate(x_t, t)
        truth = b.scatter_add(-1, x_0.unsqueeze(-1), alpha)
        log_q = safe_log(truth)
        log_p = safe_log(alpha * log_p_x0.to(torch.float64).exp() + b)
        here = rate > 0  # elsewhere nothing arrives: the term is 0, whatever the ratios are
        log_r = log_q - torch.where(here, at(log_q, x_t), 0.0).unsqueeze(-1)
        log_rh = log_p - torch.where(here, at(log_p, x_t), 0.0).unsqueeze(-1)
        terms = torch.where(truth > 0, _bregman(log_r, log_rh), log_rh.exp()).sum(-1)
        return torch.where(here, rate * torch.where(here, terms, 0.0), 0.0)

    def evidence(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What observing x_t adds to the logit of x_t itself: log(1 + alpha / b_t(x_t)), packed [N].

        0 at ids that are not writable (no x_0 has them), +inf where noise never writes x_t, which then is x_0.
        """
        t = t.to(torch.float64)
        alpha, b = self.schedule.alpha(t), self.noise_weight(x_t, t)
        writable = writable_mask(self.vocabulary, x_t.device)[x_t]
        return torch.where(writable, torch.log1p(alpha / b), 0.0)

    def clean(self, log_p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        log_p = wide(log_p_x0)
        here, evidence = at(log_p, x_t), self.evidence(x_t, t).clamp(max=600)
        normaliser = torch.log1p(here.exp() * torch.expm1(evidence))
        known = (here + evidence - normaliser).to(log_p.dtype).unsqueeze(-1)
        return (log_p - normaliser.to(log_p.dtype).unsqueeze(-1)).scatter_(-1, x_t.unsqueeze(-1), known)

    def log_p_clean(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """By one scalar a row: the evidence for x_t, and what it adds to the normaliser."""
        # Beyond e^600 to 1 nothing changes any more, and infinity would not cancel.
        log_p, evidence = wide(log_p_x0), self.evidence(x_t, t).clamp(max=600)
        normaliser = torch.log1p(at(log_p, x_t).exp() * torch.expm1(evidence))
        return at(log_p, x_0) + torch.where(x_0 == x_t, evidence, 0.0) - normaliser

    def to_leave_one_out(self, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        logits = wide(logits)
        evidence = self.evidence(x_t, t)
        # Infinite evidence hides what the other positions say; nothing can be taken away from it.
        finite = torch.where(evidence.isinf(), 0.0, evidence).to(logits.dtype)
        return logits.scatter_add(-1, x_t.unsqueeze(-1), -finite.unsqueeze(-1))

    def boundary_nats(self, x_0: Tensor) -> Tensor:
        """0 for a schedule from 1 to 0; else the reconstruction is Bayes' rule with a uniform prior over x_0."""
        ends = torch.arange(2, dtype=torch.float64, device=x_0.device)
        alpha_0, alpha_1 = self.schedule.alpha(ends)
        b_0, b_1 = self._noise(ends)
        writable = writable_mask(self.vocabulary, x_0.device)
        evidence_0 = self.vocabulary.writable_count * b_0 + alpha_0 * writable
        lost = torch.where(b_0 > 0, b_0 * (safe_log(evidence_0) - safe_log(b_0)), 0.0)
        survived = alpha_0 + b_0[x_0]
        reconstruction = lost.sum() - lost[x_0] + survived * (safe_log(evidence_0[x_0]) - safe_log(survived))
        q = alpha_1 + b_1[x_0]
        gain = torch.where(q > 0, q * (safe_log(q) - safe_log(self.nu(ends)[1, x_0])), 0.0)
        nats: Tensor = reconstruction + gain + torch.special.xlog1py(1 - q, -alpha_1)
        return nats

    def _at(self, log_p_x0: Tensor, s: Tensor) -> Tensor:
        """log (alpha_s p(x_0) + b_s), float64 [N, V]; s float64 [N]."""
        return torch.logaddexp(safe_log(self.schedule.alpha(s)).unsqueeze(-1) + log_p_x0, safe_log(self._noise(s)))

    def _noise(self, t: Tensor) -> Tensor:
        """b_t, [..., V]."""
        b: Tensor = (1 - self.schedule.alpha(t)).unsqueeze(-1) * self.nu(t)
        return b

    def _rate(self, ids: Tensor, t: Tensor) -> Tensor:
        """lambda_t(z) = b_t'(z) - (alpha_t' / alpha_t) b_t(z), the rate of jumping into z, at z = ids: [N]."""
        change: Tensor = torch.func.jvp(lambda time: at(self.nu(time), ids), (t.clone(),), (torch.ones_like(t),))[1]
        alpha, slope, nu = self.schedule.alpha(t), self.schedule.alpha_prime(t), at(self.nu(t), ids)
        rate: Tensor = (1 - alpha) * change - slope / alpha.clamp(min=TINY) * nu
        return rate


def _bregman(log_r: Tensor, log_rh: Tensor) -> Tensor:
    """r (e^u - 1 - u), u = log rh - log r; for large u without forming e^u."""
    u = torch.where(log_r > -torch.inf, log_rh - log_r, 0.0)
    large = u > 1
    direct = log_rh.exp() - log_r.exp() * (1 + u)
    return torch.where(large, direct, log_r.exp() * excess(torch.where(large, 0.0, u)))
