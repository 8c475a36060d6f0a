"""Plain cross-entropy on x_0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.objectives.base import Objective
from textdiff.objectives.estimators import Corruption, estimator_for
from textdiff.processes import ForwardProcess
from textdiff.registry import register
from textdiff.text.canvas import Canvas


@register(Objective, "cross_entropy")
@dataclass(frozen=True)
class CrossEntropyObjective(Objective):
    """-log p(x_0 | x_t) at every scored position, all alike: much less variance than the bound.

    Scaled by free / corrupted positions of the batch's expectation, so that its size does not depend on the noise.
    Source: D3PM's auxiliary loss, arXiv 2107.03006, equation 5; MaskGIT, arXiv 2202.04200.
    """

    def loss(
        self, process: ForwardProcess, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor, nats: Tensor
    ) -> Tensor:
        target, x_t = corruption.packed(canvas.ids), corruption.packed(corruption.x_t)
        log_p = process.log_p_clean(log_p_x0, target, x_t, corruption.t[corruption.row])
        return -log_p * estimator_for(process).free_per_scored

    def weight(self, process: ForwardProcess, nats_weight: Tensor) -> Tensor:
        return torch.full_like(nats_weight, estimator_for(process).free_per_scored)
