"""Training losses over a process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.objectives.estimators import Corruption, estimator_for
from textdiff.processes import ForwardProcess
from textdiff.registry import family
from textdiff.text.canvas import Canvas

_ALL_NOISE = 1 - 1e-6
"""The level of blank rows: within the open interval where every process has its rates."""


@dataclass(frozen=True)
class LossReport:
    """What a batch cost. Sums, so that parts of a batch add up to the whole whatever the split.

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
        self, denoiser: Denoiser, process: ForwardProcess, canvas: Canvas, level: Tensor, draws: Draws
    ) -> LossReport:
        """One estimate.

        Args:
            denoiser: what is trained.
            process: how it is corrupted.
            canvas: clean ids; free positions are corrupted and scored.
            level: float64 [B] in (0, 1), the noise level of each row; see `stratified`.
            draws: a stream per row.
        """
        estimator = estimator_for(process)
        if canvas.blank is not None:
            level = level.masked_fill(canvas.blank, _ALL_NOISE)
        corruption = estimator.corrupt(canvas, level, draws)
        logits = denoiser(corruption.x_t, corruption.t, canvas, corruption.where)
        log_p_x0 = logits.float().log_softmax(-1)
        nats = estimator.nats(canvas, corruption, log_p_x0)
        loss = self.loss(process, canvas, corruption, log_p_x0, nats)
        return LossReport(loss.sum(), nats.detach().sum(), canvas.free.sum())

    @abstractmethod
    def loss(
        self, process: ForwardProcess, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor, nats: Tensor
    ) -> Tensor:
        """The loss of each packed position [N], given its leave-one-out log-probabilities [N, V] and its nats [N]."""
