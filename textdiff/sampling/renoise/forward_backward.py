"""Noise goes forward while it goes back twice as fast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.renoise.base import Renoise
from textdiff.sampling.renoise.remdm_cap import everywhere, largest_sigma
from textdiff.sampling.step import Step


@register(Renoise, "forward_backward")
@dataclass(frozen=True)
class ForwardBackwardRenoise(Renoise):
    """sigma = (alpha_s - alpha_t) / alpha_t, or the largest that keeps the marginals where that is more.

    What stands becomes noise at the rate of the noise itself, and what is noise settles at twice the rate of the reverse
    kernel: the reverse process and a corrector, which goes forward and back, in one step. To first order in the step it is
    noise to alpha_t - (alpha_s - alpha_t), then the reverse kernel from there to alpha_s.

    Source: the corrector of arXiv 2205.14987, section 4.4, as a case of ReMDM, arXiv 2503.00307, appendix.
    """

    def probability(self, step: Step) -> Tensor:
        return everywhere(step, torch.minimum(forward_share(step), largest_sigma(step)))


def forward_share(step: Step) -> Tensor:
    """Float64 [B]: what share of the tokens that stand at t turns to noise while as many settle as from t to s."""
    return (step.alpha_s - step.alpha_t) / step.alpha_t.clamp(min=1e-12)
