"""Runs tasks of lm-evaluation-harness on a model."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from textdiff.backbones.loading import refusing
from textdiff.errors import CheckpointError, DataError, ResourceError, UsageError, nearest
from textdiff.evaluation.harness.answers import DRAWS, Answers, Tally
from textdiff.evaluation.signing import model_parts
from textdiff.infiller import Infiller
from textdiff.metrics import signature

_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class HarnessReport:
    """What the harness found.

    Attributes:
        results: its own, by task: values under "METRIC,FILTER", standard errors under "METRIC_stderr,FILTER".
        shots, versions: of the tasks.
        tally: how many likelihoods were exact and how many bounds.
        signature: of all figures.
    """

    results: dict[str, dict[str, Any]]
    shots: dict[str, int]
    versions: dict[str, Any]
    tally: Tally
    signature: str

    @property
    def said(self) -> str:
        """What the likelihoods are, in a sentence."""
        exact, bounds, cut = self.tally.exact, self.tally.bounds, self.tally.cut
        kinds = [f"{exact} exact"] * bool(exact) + [f"{bounds} estimated lower bounds"] * bool(bounds)
        parts = [f"Log-likelihoods: {', '.join(kinds)}."] * bool(kinds)
        parts += [f"{cut} contexts lost their beginning, as the model's context is shorter."] * bool(cut)
        return " ".join(parts)


def run_harness(
    infiller: Infiller,
    tasks: Sequence[str],
    include_path: Path | None = None,
    *,
    limit: int | None = None,
    num_fewshot: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> HarnessReport:
    """Runs some tasks.

    Args:
        infiller: the model.
        tasks: names, also with wildcards.
        include_path: a folder of tasks; then only these are known, and none that the harness comes with.
        limit: so many examples of each task; all by default.
        num_fewshot: examples in a context; by default as the tasks say.
        draws: see `Answers`.
        seed: of what is written with a temperature.
        on_progress: told what is done, how much, and how much there is.

    Raises:
        ResourceError: lm-evaluation-harness is not installed.
        UsageError: there is no such task.
        DataError: a task cannot be read, or its data cannot be had.
    """
    if find_spec("lm_eval") is None:
        raise ResourceError(
            "lm-evaluation-harness is not installed: pip install 'textdiff[harness]', or pip install lm_eval"
        )
    answers = Answers(infiller, draws, seed, on_progress)
    if include_path is not None and not include_path.is_dir():
        raise DataError(f"{include_path} is no folder; --include-path takes one with tasks of lm-evaluation-harness")
    import lm_eval
    from lm_eval.tasks import TaskManager

    from textdiff.evaluation.harness.model import HarnessModel

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    place = None if include_path is None else str(include_path)
    manager = TaskManager(include_path=place, include_defaults=include_path is None)
    names = _names(manager, tasks)
    try:
        with refusing(f"the tasks {', '.join(names)} cannot be loaded"):
            manager.load(names)
    except CheckpointError as error:
        raise DataError(str(error)) from None
    with contextlib.redirect_stdout(sys.stderr):  # the harness prints what it is doing
        found = lm_eval.simple_evaluate(
            HarnessModel(answers),
            tasks=names,
            task_manager=manager,
            limit=limit,
            num_fewshot=num_fewshot,
            bootstrap_iters=_BOOTSTRAPS,
            log_samples=False,
        )
    own = {"lm_eval": lm_eval.__version__, "draws": draws, "seed": seed, "limit": limit or "none"}
    sign = signature({**model_parts(infiller), **own})
    return HarnessReport(found["results"], found["n-shot"], found["versions"], answers.tally, sign)


def _names(manager: Any, tasks: Sequence[str]) -> list[str]:
    found = []
    for name in tasks:
        matched = manager.match_tasks([name])
        if not matched:
            raise UsageError(f"no task is named {name!r}.{nearest(name, manager.all_tasks)}")
        found += matched
    return [*dict.fromkeys(found)]
