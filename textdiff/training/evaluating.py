"""Scoring a part of the held-out text while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.model import DiffusionModel
from textdiff.objectives import estimator_for
from textdiff.training.agreeing import of_the_first
from textdiff.training.best import Selection
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.job import TrainingJob
from textdiff.training.keeping import KeptStates
from textdiff.training.log import RunLog
from textdiff.training.sharding import fill
from textdiff.training.state import Progress

_SEED = 20_241


class Evaluation:
    """Scores averaged weights, saves the model that they make, and has them chosen from.

    Args:
        job: the run's.
        trained: what is trained: the job's model, or a sharded copy of it.
        average: of its weights.
        selection: what chooses the best of them.
        kept: the run's states.
    """

    def __init__(
        self,
        job: TrainingJob,
        trained: DiffusionModel,
        average: ExponentialMovingAverage,
        accelerator: Accelerator,
        selection: Selection,
        kept: KeptStates,
    ) -> None:
        self._job, self._trained, self._average = job, trained, average
        self._accelerator, self._selection, self._kept = accelerator, selection, kept

    def is_due(self, step: int) -> bool:
        """The last step is scored in full after the run; to be chosen from, it is scored as the others are too."""
        if step == self._job.config.max_steps:
            return self._selection.wanted and self._job.validation is not None
        return step % self._job.config.eval_steps == 0

    def judged(self, progress: Progress, log: RunLog) -> Progress:
        """All processes judge by what the first one, which alone evaluates, has found."""
        found = self._found(progress, log)
        if not self._selection.wanted or self._job.validation is None:
            return progress
        nelbo = of_the_first(None if found is None else found.nats_per_token)
        return progress if nelbo is None else self._selection.judged(progress, nelbo)

    def _found(self, progress: Progress, log: RunLog) -> Likelihood | None:
        """Scores a part of the held-out text with the averaged weights, and saves the model."""
        job, model = self._job, self._job.model
        model.eval()
        with self._averaged():
            if not self._accelerator.is_main_process:
                return None
            with self._kept.surviving(log):
                job.save_model()
            if job.validation is None:
                return None
            canvases = [c.to(self._accelerator.device) for c in job.validation(job.config.eval_windows)]
            repeats = self._repeats(sum(len(canvas.ids) for canvas in canvases))
            found = estimate_nelbo(model.read, model.process, canvases, repeats, _SEED)
        log.record("evaluation", step=progress.step, nelbo=found.nats_per_token, standard_error=found.standard_error)
        log.say(f"step {progress.step}: held-out {found.name} {found.in_words}")
        return found

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The job's model holds the averaged weights inside the `with`; of sharded ones only that of the first process."""
        if self._trained is self._job.model:
            with self._average.swapped_in():
                yield
            return
        fill(self._job.model, self._average.tensors())
        if self._accelerator.is_main_process:
            self._job.model.to(self._accelerator.device)
        yield
        self._job.model.to("cpu")

    def _repeats(self, windows: int) -> int:
        """A short text is corrupted so often that it is scored about as well as `eval_windows` windows are."""
        if estimator_for(self._job.model.process).exact:
            return 1
        return max(1, self._job.config.eval_windows // max(1, windows))
