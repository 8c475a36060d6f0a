"""The states of a run on the disk: none that is not good, and never without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator

from textdiff.errors import NonFiniteError, ResourceError
from textdiff.training.agreeing import any_of
from textdiff.training.config import TrainingConfig
from textdiff.training.log import RunLog
from textdiff.training.sharding import here
from textdiff.training.state import Progress, RunState, prune, state_folder, state_folders


class KeptStates:
    """Writes the states of a run, and removes old ones. All processes call it; the first one writes."""

    def __init__(self, state: RunState, accelerator: Accelerator, output: Path, config: TrainingConfig) -> None:
        self._state, self._accelerator = state, accelerator
        self._output, self._config = output, config
        self._saved: int | None = None

    def came_from(self, folder: Path | None, progress: Progress) -> None:
        """Notes that the run goes on from here: what is there need not be written again."""
        if folder == state_folder(self._output, progress.step):
            self._saved = progress.step

    def save(self, progress: Progress) -> Path:
        """Writes the state of this step, where that has not been done, and returns its folder.

        Raises, in all processes:
            NonFiniteError: a weight is not finite, which a finite gradient does not rule out.
            ResourceError: the disk is full; the older states are as they were.
        """
        folder = state_folder(self._output, progress.step)
        if self._saved == progress.step:
            return folder
        finite = all(bool(here(weights).isfinite().all()) for weights in self._state.model.parameters())
        if any_of(self._accelerator, not finite):
            good = last_good(self._output)
            raise NonFiniteError(f"the weights were no longer finite after step {progress.step}; {good}")
        failure = None
        try:
            self._state.save(folder, progress, self._accelerator.is_main_process)
            if self._accelerator.is_main_process:
                prune(self._output, self._config.save_total_limit, progress.step)
        except ResourceError as error:
            failure = error
        if any_of(self._accelerator, failure is not None):
            raise failure or ResourceError("the first process of this run could not save its state")
        self._saved = progress.step
        return folder

    def save_or_warn(self, progress: Progress, log: RunLog) -> None:
        """As `save`; where `save_failure` is `warn`, a full disk is said and no more."""
        with self.surviving(log):
            self.save(progress)

    @contextmanager
    def surviving(self, log: RunLog) -> Iterator[None]:
        """Where `save_failure` is `warn`, what cannot be written inside the `with` for want of room is said and no more."""
        try:
            yield
        except ResourceError as error:
            if self._config.save_failure == "stop":
                raise
            log.say(f"{error}; training goes on")


def last_good(output: Path) -> str:
    """What is left of a run that went wrong, and what to do."""
    states = state_folders(output)
    good = f"the last good state is {states[-1]}" if states else "no state had been saved yet"
    return f"{good}. Lower the learning rate."
