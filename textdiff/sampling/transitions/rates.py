"""Transitions that follow the rates of reversed time, held constant during a step."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from textdiff.sampling.step import Step
from textdiff.sampling.transitions.kernel import KernelTransition, exact_kernel


class RateTransition(KernelTransition):
    """Each position leaves its token with a probability that follows from its rates at t, for a token drawn from them.

    A row's last step, which rates could not end, draws from p(x_0 | x_t): the denoising step of SEDD.
    """

    @abstractmethod
    def leaves(self, expected: Tensor) -> Tensor:
        """The probability that a token changes, [N], if so many jumps are expected in the step, float64 [N]."""

    def kernel(self, step: Step, log_p_x0: Tensor) -> Tensor:
        x_t, last = step.pack(step.x_t), step.last
        log_rates = step.process.log_rates(log_p_x0, x_t, step.t[step.row])
        total = log_rates.logsumexp(-1).to(torch.float64)
        leaves = self.leaves(total.exp() * (step.t - step.s)[step.row])
        # Where nothing leads away there are no rates to share the probability.
        moves = torch.where(total.isfinite(), leaves.log() - total, -torch.inf).unsqueeze(-1).to(log_rates.dtype)
        log_p = (log_rates + moves).scatter(-1, x_t.unsqueeze(-1), (-leaves).log1p().unsqueeze(-1).to(log_rates.dtype))
        return torch.where(last.unsqueeze(-1), exact_kernel(step, log_p_x0), log_p) if last.any() else log_p
