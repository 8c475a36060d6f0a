"""`textdiff evaluate`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Data, Model, Seed
from textdiff.cli.output import put, put_json
from textdiff.cli.tables import aligned
from textdiff.errors import UsageError, nearest

if TYPE_CHECKING:
    from textdiff.metrics import Score

EXAMPLES = r"""Examples:
  textdiff evaluate --data held-out.txt
  textdiff evaluate -m runs/mine --data test.txt --metrics nelbo --repeats 4
  textdiff evaluate -m runs/mine --data test.jsonl --column body --json
"""


def evaluate(
    data: Data,
    model: Model = "default",
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="NAME,…", help="Which ones: nelbo, entropy. By default all.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, metavar="N", help="Noise draws for each window.")] = 1,
    max_windows: Annotated[
        int | None, typer.Option("--max-windows", min=1, metavar="N", help="Score N windows, spread evenly.")
    ] = None,
    unit: Annotated[
        Literal["file", "blank_line", "line"], typer.Option("--unit", help="What a document of a text file is.")
    ] = "file",
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="The column of a table.")] = "text",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how well a model predicts texts.

    Likelihood bounds with standard errors, and beside them the entropies that
    counting alone reaches on the same texts.
    """
    from textdiff.evaluation import METRICS
    from textdiff.evaluation import evaluate as run_metrics

    wanted = METRICS if metrics is None else tuple(name.strip() for name in metrics.split(","))
    for name in wanted:
        if name not in METRICS:
            raise UsageError(f"no metric is named {name!r}.{nearest(name, METRICS)} Known: {', '.join(METRICS)}")
    infiller = load_infiller(model)
    from rich.console import Console

    with Console(stderr=True).status("scoring") as status:
        scores = run_metrics(
            infiller,
            data,
            wanted,
            repeats=repeats,
            max_windows=max_windows,
            seed=seed,
            unit=unit,
            column=column,
            on_windows=lambda done: status.update(f"scored {done} windows"),
        )
    if as_json:
        rows = [score.plain() for score in scores]
        put_json({"schema": "textdiff.evaluate/1", "model": infiller.name, "seed": seed, "scores": rows})
    else:
        put(score_table(scores))


_HUGE = 1e6
"""From here on digits say nothing: the perplexity of a word where a text has hardly any."""


def score_table(scores: Sequence[Score]) -> str:
    """Names, values with their standard errors, units and counts, and below them the signatures."""
    rows = [(s.name, number(s.value, s.standard_error), s.unit, f"n = {s.n:,}") for s in scores]
    signatures = dict.fromkeys(score.signature for score in scores)
    return aligned(rows) + "".join(f"\n{signature}\n" for signature in signatures)


def number(value: float | None, error: float | None) -> str:
    """A value with as many decimals as its standard error gives sense to."""
    if value is None:
        return "unknown"
    if abs(value) >= _HUGE:
        return f"{value:.3e}" + ("" if error is None else f" ± {error:.1e}")
    if error is None or error == 0:
        return f"{value:.4f}"
    if not math.isfinite(error):
        return f"{value:.4f} ± unknown"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
