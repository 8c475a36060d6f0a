"""`textdiff benchmark`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdiff.cli.benchmark_comparison import comparison_plain, comparison_text
from textdiff.cli.benchmark_files import write_report
from textdiff.cli.benchmark_tables import value
from textdiff.cli.harness import harness_tasks
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Device, Model, Seed
from textdiff.cli.output import put, put_json, say
from textdiff.cli.tables import aligned
from textdiff.errors import UsageError

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Cell, CellResult, Figure, Suite

EXAMPLES = r"""Examples:
  textdiff benchmark recipes/benchmarks/small.yaml
  textdiff benchmark suite.yaml --output runs/benchmarks/mine --device cuda
  textdiff benchmark suite.yaml --dry-run
  textdiff benchmark suite.yaml --cell packaged/shakespeare/nelbo
  textdiff benchmark --compare runs/benchmarks/mine runs/benchmarks/yours
  textdiff benchmark --harness my_task -m runs/mine --include-path tasks

A suite lists models, data, metrics and samplers; `textdiff list` shows the
metrics. Each cell (a metric of a model on a text with a sampler) is kept when
it is done: the same command goes on where it stopped, and another suite for
the same folder is refused. The folder then holds report.md, report.json,
report.html (one page that needs no network), plots/ where matplotlib is
installed, and cells/.

--harness runs tasks of lm-evaluation-harness (pip install lm_eval), those in
a folder with --include-path, else those that it comes with, whose data it
fetches. The log-likelihood of a continuation is exact from left to right and
of up to 5 tokens, else a lower bound, estimated: what was what is said.
"""


def benchmark(
    suite: Annotated[Path | None, typer.Argument(metavar="SUITE", help="A YAML file.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="By default runs/benchmarks/SUITE.")
    ] = None,
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="NAME", help="Measure one cell anew, print it, and keep nothing.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the names of all cells, and measure nothing.")
    ] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="A B", help="Compare two reports instead: folders, or their report.json."),
    ] = None,
    harness: Annotated[
        str | None, typer.Option("--harness", metavar="TASK,…", help="Run tasks of lm-evaluation-harness instead.")
    ] = None,
    model: Model = "default",
    include_path: Annotated[
        Path | None, typer.Option("--include-path", metavar="FOLDER", help="harness: where the tasks are.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="harness: the first N examples of each task.")
    ] = None,
    num_fewshot: Annotated[
        int | None, typer.Option("--num-fewshot", min=0, metavar="N", help="harness: examples in each context.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=1, metavar="N", help="harness: corruptions of a text for its bound.")
    ] = 32,
    seed: Seed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure models on texts by a suite, and write a report; prints its files.

    Every figure comes with unit, interval, signature, and the command that
    measures it again. --compare says which differences of two reports exceed
    noise, and refuses what was not measured alike.
    """
    if harness is not None:
        if suite is not None or compare is not None:
            raise UsageError(
                "give a suite to measure, two reports to --compare, or tasks to --harness, and not several"
            )
        options = {"limit": limit, "num_fewshot": num_fewshot, "draws": draws, "seed": seed}
        harness_tasks(harness.split(","), include_path, model, device, as_json, options)
        return
    if compare is not None:
        if suite is not None:
            raise UsageError("give a suite to measure, or two reports to --compare, not both")
        _compare(*compare, as_json)
        return
    if suite is None:
        raise UsageError("no suite is given: name a YAML file, or two reports to --compare, or tasks to --harness")
    from textdiff.evaluation.benchmark import load_suite

    asked = load_suite(suite)
    if dry_run:
        put("".join(f"{each.id}\n" for each in asked.cells()))
    elif cell is not None:
        _one(asked, cell, device, as_json)
    else:
        _all(asked, suite, output or Path("runs", "benchmarks", suite.stem), device, as_json)


def _compare(first: Path, second: Path, as_json: bool) -> None:
    from textdiff.evaluation.benchmark import compare, read_report

    found = compare(read_report(first), read_report(second))
    if as_json:
        put_json({"schema": "textdiff.benchmark-comparison/1", **comparison_plain(found)})
    else:
        put(comparison_text(found))


def _one(suite: Suite, name: str, device: str | None, as_json: bool) -> None:
    from rich.console import Console

    from textdiff.evaluation.benchmark import Models, find_cell, measure_cell

    cell = find_cell(suite, name)
    with Console(stderr=True).status(cell.id) as status:
        models = Models(lambda model: load_infiller(model, device))
        found = measure_cell(suite, cell, models, lambda doing: status.update(f"{cell.id}: {doing}"))
    if as_json:
        put_json({"schema": "textdiff.benchmark-cell/1", **found.plain()})
        return
    if found.skipped is not None:
        say(f"{cell.id}: not measured: {found.skipped}")
    header = ["of", "way", "at", "score", "value", "unit", "n"]
    put(aligned([header, *map(_row, found.figures)]))


def _row(figure: Figure) -> list[str]:
    at = "" if figure.at is None else f"{figure.axis} {figure.at:g}"
    score = figure.score
    return [figure.group, figure.way, at, score.name, value(score), score.unit, f"{score.n:,}"]


def _all(suite: Suite, source: Path, folder: Path, device: str | None, as_json: bool) -> None:
    from rich.console import Console

    from textdiff.evaluation.benchmark import make_report, run_suite

    count = sum(1 for _ in suite.cells())
    with Console(stderr=True).status("measuring") as status:
        tally = _Tally(count, status.update)
        results = run_suite(suite, folder, lambda model: load_infiller(model, device), tally.on_cell)
    report = make_report(suite, str(source), results)
    written = write_report(report, folder)
    if as_json:
        put_json(report.plain())
    else:
        put("".join(f"{path}\n" for path in written))


class _Tally:
    """Says on stderr which cells are done."""

    def __init__(self, count: int, update: Callable[[str], None]) -> None:
        self._count, self._update, self._done, self._fresh = count, update, 0, ""

    def on_cell(self, cell: Cell, result: CellResult | None, doing: str) -> None:
        if result is None:
            self._fresh = cell.id
            self._update(f"{cell.id}{doing and ': '}{doing}")
            return
        self._done += 1
        how = f"{result.seconds:.1f} s" if cell.id == self._fresh else "was there"
        say(f"{self._done}/{self._count} {cell.id}: {how if result.skipped is None else result.skipped}")
