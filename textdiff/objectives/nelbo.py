"""The bound itself as the training loss."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.objectives.base import Objective
from textdiff.objectives.estimators import Corruption
from textdiff.processes import ForwardProcess
from textdiff.registry import register
from textdiff.text.canvas import Canvas


@register(Objective, "nelbo")
@dataclass(frozen=True)
class NelboObjective(Objective):
    """Minimises the NELBO. Source: MDLM, arXiv 2406.07524; GIDD, arXiv 2503.04482, for general processes."""

    def loss(
        self, process: ForwardProcess, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor, nats: Tensor
    ) -> Tensor:
        return nats

    def weight(self, process: ForwardProcess, nats_weight: Tensor) -> Tensor:
        return nats_weight
