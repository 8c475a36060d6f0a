"""The reverse kernel, now and then replaced by noise on a fresh x_0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Transition
from textdiff.sampling.transitions.kernel import KernelTransition, exact_kernel


@register(Transition, "psi")
@dataclass(frozen=True)
class PsiTransition(KernelTransition):
    """kappa p(x_s | x_t) + (1 - kappa) q(x_s | x_0 ~ p(x_0 | x_t)), for any process: what was written is rewritten.

    The renoise policy says how often: kappa = 1 - sigma / (1 - alpha_s), so that with absorbing noise this is ReMDM with
    that sigma (the transition `accept` has the same law there for fewer network calls), and all of its schedules serve any
    noise; a sigma above 1 - alpha_s counts as that. A policy that sends nothing back makes kappa 1: `posterior`. The policy
    `psi` is a constant kappa.
    The marginals of the noise are kept for any kappa. But where kappa is not 1, tokens are drawn side by side that a reverse
    kernel would have drawn one after the other: more steps do not end all of what that gets wrong.

    Source: Psi-posteriors, arXiv 2602.21185.
    """

    heeds_renoise: ClassVar[bool] = True

    def bounded(self, step: Step, sigma: Tensor) -> Tensor:
        return torch.minimum(sigma, (1 - step.alpha_s).unsqueeze(-1))

    def kernel(self, step: Step, log_p_x0: Tensor) -> Tensor:
        log_kappa, log_rest = kappa_of(step)
        x_0 = exact_kernel(step, log_p_x0, to=torch.zeros_like(step.s))
        again = step.process.marginal(x_0, step.s[step.row])
        return torch.logaddexp(log_kappa.to(again) + exact_kernel(step, log_p_x0), log_rest.to(again) + again)


def kappa_of(step: Step) -> tuple[Tensor, Tensor]:
    """log kappa and log (1 - kappa) at the packed positions, float64 [N, 1]."""
    share = step.pack(step.sigma) / (1 - step.alpha_s)[step.row].clamp(min=1e-30)
    rest = share.clamp(max=1).unsqueeze(-1)  # of what is bounded, but for rounding
    return (1 - rest).log(), rest.log()
