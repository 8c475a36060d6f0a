"""Every noisy position settles with the same probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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

    plans_ahead: ClassVar[bool] = True

    def plan(self, step: Step) -> Tensor:
        alpha_s, alpha_t = step.alpha_s.unsqueeze(-1), step.alpha_t.unsqueeze(-1)
        probability = (alpha_s - (1 - step.sigma) * alpha_t) / (1 - alpha_t)
        return step.noisy & (step.uniform(Stream.ACCEPT) < probability)
