"""Settled tokens are reconsidered, the unsure ones most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.remdm_cap import largest_sigma
from textdiff.sampling.step import Step


@register(Renoise, "remdm_confidence")
@dataclass(frozen=True)
class RemdmConfidenceRenoise(Renoise):
    """sigma_i = min(1, (1 - alpha_s) / alpha_t) e^{-p_i} / sum of e^{-p_j} over the settled tokens j of the row.

    p_i is how probable a token was when it settled. In the mean a row loses one token a step at most. Noisy positions have
    sigma = 0, so nothing makes up for what goes back: the marginals of ReMDM are not kept, the row lags behind a little.

    Source: ReMDM, arXiv 2503.00307, section 4.1 (the confidence-based schedule).
    """

    def probability(self, step: Step) -> Tensor:
        weight = torch.where(step.settled, (-step.sure.exp()).exp(), 0.0)
        share = weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
        return share * largest_sigma(step).unsqueeze(-1)
