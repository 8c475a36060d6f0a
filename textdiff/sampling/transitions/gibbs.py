"""The reverse kernel, and where time stands still some tokens drawn anew given the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess
from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.step import Step, Stream
from textdiff.sampling.transitions.base import Transition
from textdiff.sampling.transitions.kernel import KernelTransition, exact_kernel


@register(Transition, "gibbs")
@dataclass(frozen=True)
class GibbsTransition(KernelTransition):
    """Where s < t the reverse kernel; where s = t a few tokens are drawn from p(x_t^i | all others).

    That is alpha_t p(x_0^i | all others) + b_t, which the leave-one-out denoiser knows. One token at a time it is a Gibbs
    sampler of the law of noisy texts at t, which it keeps, and to which it leads whatever earlier steps got wrong. Several
    at a time do not know of each other. Needs a grid that rests (`resting`, `loop`), and noise that does not show: where it
    is the mask nothing is redrawn in a rest. Where a constraint ties positions together x_0 is drawn given all of x_t, which
    keeps the law as well.

    Attributes:
        share: above 0, at most 1: of a row's noisy tokens, what is redrawn in a rest; at least one token.

    Source: the Gibbs correctors of arXiv 2407.21243, with tokens chosen at random and the leave-one-out denoiser of
        noise that does not show.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share must be above 0 and at most 1, got {self.share}")

    def plan(self, step: Step, accept: Accept) -> Tensor:
        return step.noisy & (~_rests(step).unsqueeze(-1) | self._chosen(step))

    def kernel(self, step: Step, log_p_x0: Tensor) -> Tensor:
        law, rests = exact_kernel(step, log_p_x0), _rests(step)
        if not rests.any():
            return law
        again = step.process.marginal(log_p_x0, step.t[step.row])
        # Positions that were not asked for are there for a constraint or a stop: the kernel from t to t keeps what stands.
        return torch.where((rests[step.row] & step.wanted).unsqueeze(-1), again, law)

    def _chosen(self, step: Step) -> Tensor:
        """Bool [B, L]: the tokens that a rest redraws."""
        if isinstance(step.process, AbsorbingProcess):
            return torch.zeros_like(step.noisy)
        row, column = step.noisy.nonzero(as_tuple=True)
        count = torch.round(self.share * step.noisy.sum(-1)).clamp(min=1)
        rank = rank_within(row, step.uniform(Stream.ACCEPT)[row, column])
        return torch.zeros_like(step.noisy).index_put((row, column), rank < count[row])


def _rests(step: Step) -> Tensor:
    """Bool [B]: rows whose time stands still."""
    return step.s == step.t
