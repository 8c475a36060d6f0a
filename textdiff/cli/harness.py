"""`textdiff benchmark --harness`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.cli.loading import load_infiller
from textdiff.cli.output import put, put_json
from textdiff.cli.score_tables import number
from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.evaluation.harness import HarnessReport

_HEADER = ("task", "metric", "filter", "value", "shots", "n")


def harness_tasks(
    tasks: Sequence[str],
    include_path: Path | None,
    model: str,
    device: str | None,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Runs tasks of lm-evaluation-harness, and prints what it found."""
    infiller = load_infiller(model, device)
    from rich.console import Console

    from textdiff.evaluation.harness import run_harness

    with Console(stderr=True).status("loading tasks") as status:
        watch = lambda what, done, total: status.update(f"{what}: {done} of {total}")  # noqa: E731
        report = run_harness(infiller, tasks, include_path, on_progress=watch, **options)
    if as_json:
        put_json({"schema": "textdiff.harness/1", "model": infiller.name, **vars(report), "tally": vars(report.tally)})
        return
    table = aligned([_HEADER, *_rows(report)])
    put("\n".join(part + "\n" for part in (table.rstrip("\n"), report.said, report.signature) if part))


def _rows(report: HarnessReport) -> Iterator[tuple[str, ...]]:
    for task, found in report.results.items():
        for key, value in found.items():
            metric, _, kept = key.partition(",")
            if kept and not metric.endswith("_stderr") and isinstance(value, int | float):
                error = found.get(f"{metric}_stderr,{kept}")
                shown = number(value, error if isinstance(error, float) else None)
                yield task, metric, kept, shown, str(report.shots.get(task, "")), str(found.get("sample_len", ""))
