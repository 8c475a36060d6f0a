"""What a training run is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.data import Loader
from textdiff.model import DiffusionModel
from textdiff.objectives import Objective
from textdiff.text.canvas import Canvas
from textdiff.training.config import TrainingConfig


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a run is made of.

    Attributes:
        model: what is trained, in place; in the end it holds the averaged weights.
        loader: samples by number.
        objective: the loss.
        config: how.
        output: the run's folder; states go to `output/state`, the log to `output/log.jsonl`.
        seed: of the noise levels; samples have theirs from the loader.
        validation: makes the held-out canvases, at most as many windows as the argument (None: all), or None.
        save_model: called with the averaged weights in the model whenever a model worth having exists, at an evaluation with
            the new ones and in the end with those that the run is to give.
        fingerprint: plain data that must agree for a run to be resumed.
        on_record: called in the main process with every record of the log, as `RunLog` does.
    """

    model: DiffusionModel
    loader: Loader
    objective: Objective
    config: TrainingConfig
    output: Path
    seed: int = 0
    validation: Callable[[int | None], Iterable[Canvas]] | None = None
    save_model: Callable[[], None] = lambda: None
    fingerprint: dict[str, Any] | None = None
    on_record: Callable[[str, Mapping[str, Any]], None] = lambda kind, values: None
