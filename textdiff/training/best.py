"""Which evaluation of a run was the best, its weights, and when to stop waiting for a better one.

As `load_best_model_at_end` and `EarlyStoppingCallback` of Hugging Face transformers do.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from textdiff.training.config import TrainingConfig
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.state import Best, Progress


class Selection:
    """Judges evaluations by their held-out NELBO, and keeps the averaged weights of the best where they are wanted."""

    def __init__(self, config: TrainingConfig, average: ExponentialMovingAverage, best: Best) -> None:
        self._config, self._average, self._best = config, average, best

    @property
    def wanted(self) -> bool:
        """Whether the run does anything with its best evaluation."""
        return self._config.load_best_model_at_end or self._config.early_stopping_patience is not None

    def judged(self, progress: Progress, nelbo: float) -> Progress:
        """The progress after an evaluation. A NELBO that is no number is no improvement."""
        if (progress.best_nelbo is not None and not nelbo < progress.best_nelbo) or nelbo != nelbo:
            return replace(progress, waited=progress.waited + 1)
        if self._config.load_best_model_at_end:
            self._best.tensors = {name: tensor.detach().clone() for name, tensor in self._average.tensors().items()}
        return replace(progress, best_step=progress.step, best_nelbo=nelbo, waited=0)

    def weights(self) -> dict[str, Tensor]:
        """What the run's model is to hold in the end: the best average if it was kept, else the last."""
        return self._best.tensors or self._average.tensors()

    def in_words(self, progress: Progress) -> str:
        """How the run ended; "" where nothing was judged."""
        if progress.best_nelbo is None:
            return ""
        kept = ", whose weights are kept" if self._best.tensors else ""
        best = f"the best step was {progress.best_step}{kept}: held-out nelbo {progress.best_nelbo:.4f} nats/token"
        if not gave_up(self._config, progress):
            return best
        return f"stopped early at step {progress.step}, after {progress.waited} evaluations without improvement; {best}"


def gave_up(config: TrainingConfig, progress: Progress) -> bool:
    """Whether so many evaluations in a row were no better than the best that no more steps are taken."""
    return config.early_stopping_patience is not None and progress.waited >= config.early_stopping_patience


def is_over(config: TrainingConfig, progress: Progress) -> bool:
    """Whether a run has taken its last step."""
    return progress.step >= config.max_steps or gave_up(config, progress)
