"""Training losses over a process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from textdiff.denoiser import Reader, Readout
from textdiff.draws import Draws
from textdiff.objectives.estimators import Corruption, CrossEntropyForm, Estimator, estimator_for
from textdiff.objectives.rows import AnyCost, CrossEntropyCost, RowCost, sum_over_rows
from textdiff.processes import ForwardProcess
from textdiff.registry import family
from textdiff.text.canvas import Canvas

_ALL_NOISE = 1 - 1e-6
"""The level of blank rows: within the open interval where every process has its rates."""


class LossReport(NamedTuple):
    """What a batch cost. Sums, so that parts of a batch add up to the whole whatever the split.

    A tuple, so that torch finds the tensors in it when it wraps a module that returns one.

    Attributes:
        loss: the training loss summed over free tokens; divide by `tokens` of the whole batch.
        nelbo_nats: an unbiased estimate of the true NELBO, summed, whatever the loss weighs; of a blank row what it costs
            to write it in one step.
        tokens: the number of free tokens.
    """

    loss: Tensor
    nelbo_nats: Tensor
    tokens: Tensor


@family
class Objective(ABC):
    """Corrupts a batch on its device, asks the denoiser, and weighs the answer."""

    def __call__(
        self, reader: Reader, process: ForwardProcess, canvas: Canvas, level: Tensor, draws: Draws
    ) -> LossReport:
        """One estimate.

        Args:
            reader: what is trained.
            process: how it is corrupted.
            canvas: clean ids; free positions are corrupted and scored.
            level: float64 [B] in (0, 1), the noise level of each row; see `stratified`.
            draws: a stream per row.
        """
        estimator = self.estimator(process)
        if canvas.blank is not None:
            level = level.masked_fill(canvas.blank, _ALL_NOISE)
        corruption = estimator.corrupt(canvas, level, draws)
        weight = corruption.packed_weight  # before a GPU has the network to do: how many there are is waited for
        readout = reader(corruption.x_t, corruption.t, canvas, corruption.where)
        loss, nats = sum_over_rows(readout, self._cost(process, estimator, canvas, corruption, weight, readout))
        return LossReport(loss, nats, canvas.free.sum())

    def estimator(self, process: ForwardProcess) -> Estimator:
        """How a batch is corrupted and its nats are counted."""
        return estimator_for(process).for_training

    def _cost(
        self,
        process: ForwardProcess,
        estimator: Estimator,
        canvas: Canvas,
        corruption: Corruption,
        weight: Tensor,
        readout: Readout,
    ) -> RowCost:
        """How the rows are weighed: in closed form where loss and bound are multiples of one cross-entropy."""
        if isinstance(estimator, CrossEntropyForm) and readout.convert is None:
            target = corruption.packed(canvas.ids)
            return CrossEntropyCost(target, readout.forbidden, self.weight(process, weight), weight)

        def cost(log_p_x0: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            part = corruption.part(corruption.places[rows])
            nats = estimator.nats(canvas, part, log_p_x0)
            return self.loss(process, canvas, part, log_p_x0, nats), nats

        return AnyCost(readout, cost)

    @abstractmethod
    def loss(
        self, process: ForwardProcess, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor, nats: Tensor
    ) -> Tensor:
        """The loss of each packed position [N], given its leave-one-out log-probabilities [N, V] and its nats [N]."""

    @abstractmethod
    def weight(self, process: ForwardProcess, nats_weight: Tensor) -> Tensor:
        """What the cross-entropy at each position [N] counts for in the loss where it is all there is.

        So it is with absorbing noise and from left to right.

        Args:
            process: how the text is corrupted.
            nats_weight: what it counts for in the bound [N].
        """
