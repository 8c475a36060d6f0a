"""Every noisy position settles with the same probability."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.step import Step, Stream


@register(Accept, "random")
@dataclass(frozen=True)
class RandomAccept(Accept):
    """Ancestral sampling of absorbing noise: whether a token settles is drawn first, what it is only then.

    That is exact, and logits are needed only where a token settles. With sigma > 0 the marginals of ReMDM are kept.
    Source: MDLM, arXiv 2406.07524, Eq. 6; ReMDM, arXiv 2503.00307, Eq. 4.
    """

    def plan(self, step: Step) -> Tensor:
        gained = step.alpha_s - (1 - step.sigma) * step.alpha_t
        probability = gained / (1 - step.alpha_t)
        return step.noisy & (step.uniform(Stream.ACCEPT) < probability.unsqueeze(-1))
