"""What a run tells besides its log: to trackers, and in pictures. Nothing of it ends a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from textdiff.curves import CurveKeeper, NoiseCurve, NoisePoint
from textdiff.errors import TextdiffError
from textdiff.evaluation import HeldOutReport
from textdiff.files import append_line
from textdiff.objectives import estimator_for
from textdiff.processes import ForwardProcess
from textdiff.recipe.recipe import Recipe
from textdiff.recipe.resuming import say
from textdiff.registry import to_config
from textdiff.training import Trackers, is_main_process


class Reporting:
    """The trackers and curves of a run. In processes other than the first it does nothing."""

    def __init__(self, recipe: Recipe, output: Path) -> None:
        self._output = output
        self._main = is_main_process()
        self._trackers = Trackers(recipe.training.trackers if self._main else (), output, to_config(recipe), say)
        self._curves = CurveKeeper(output, say)

    def __enter__(self) -> Reporting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trackers.close()

    def record(self, kind: str, values: Mapping[str, Any]) -> None:
        """A record was written to the log."""
        self._trackers.record(kind, values)
        if kind == "evaluation":
            self._curves.evaluated()

    def finish(self, step: int, process: ForwardProcess, report: HeldOutReport | None) -> None:
        """The run has taken its last step, and its model has been scored."""
        if not self._main:
            return
        if report is not None:
            self._log_scores(step, report)
        self._curves.finished(None if report is None else _noise_curve(process, report))

    def _log_scores(self, step: int, report: HeldOutReport) -> None:
        plain = [score.plain() for score in report.scores]
        values = {score["name"]: score["value"] for score in plain}
        first = plain[0]  # the NELBO; an exact likelihood is one too, and curves look for it under this name
        values = {"nelbo": first["value"], **values, "signature": report.signature}
        values = {"step": step, "standard_error": first["standard_error"], **values}
        try:
            append_line(self._output / "log.jsonl", json.dumps({"event": "final", **values}).encode())
        except TextdiffError as error:
            say(str(error))
        self._trackers.record("final", values)


def _noise_curve(process: ForwardProcess, report: HeldOutReport) -> NoiseCurve:
    estimator = estimator_for(process)
    points = [
        NoisePoint(part.low, part.high, part.level, part.nats, part.standard_error, part.windows, part.corruptions)
        for part in report.levels
    ]
    return NoiseCurve(estimator.axis, estimator.integrand, report.signature, tuple(points))
