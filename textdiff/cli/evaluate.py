"""`textdiff evaluate`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.infill_tables import plain, printed
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Data, Device, Model, Seed
from textdiff.cli.output import put, put_json
from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.evaluation import InfillReport
    from textdiff.metrics import Score

EXAMPLES = r"""Examples:
  textdiff evaluate --data held-out.txt
  textdiff evaluate -m runs/mine --data test.txt --metrics nelbo --repeats 4
  textdiff evaluate -m runs/mine --data test.jsonl --column body --json
  textdiff evaluate --data held-out.txt --metrics infill --baselines

The metric infill cuts gaps out of the texts by seed (one word; 2 to 12 words;
a sentence; 2 to 4 gaps in one document), fills them, and compares the fills
with what stood there: exact match, BLEU, chrF, lengths, likelihood in bits a
byte. A .json or .jsonl file whose rows have before, middle (a text, or a list
of references) and after gives its own cases. --lengths says what the infiller
is told: true (tokens), words, auto, model, search, or a number of tokens.
The whole protocol: python -c "help('textdiff.evaluation.infilling.running')"
"""


def evaluate(
    data: Data,
    model: Model = "default",
    device: Device = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", metavar="NAME,…", help="Which ones: nelbo, entropy, infill. By default the first two."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, metavar="N", help="Noise draws: 1 for each window, 4 for each gap case."),
    ] = None,
    max_windows: Annotated[
        int | None, typer.Option("--max-windows", min=1, metavar="N", help="Score N windows, spread evenly.")
    ] = None,
    unit: Annotated[
        Literal["file", "blank_line", "line"], typer.Option("--unit", help="What a document of a text file is.")
    ] = "file",
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="The column of a table.")] = "text",
    cases: Annotated[
        int, typer.Option("--cases", min=1, metavar="N", help="infill: so many documents of each kind of gap.")
    ] = 100,
    kinds: Annotated[
        str, typer.Option("--kinds", metavar="KIND,…", help="infill: which kinds of gaps.")
    ] = "word,words,sentence,several",
    lengths: Annotated[
        str, typer.Option("--lengths", metavar="LENGTH,…", help="infill: what the infiller is told about lengths.")
    ] = "true,auto",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="infill: also simple methods and fixed lengths.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how well a model predicts texts, and how well it fills gaps.

    Likelihood bounds with standard errors (of a left-to-right model the exact
    likelihood, which the signature says), and beside them the entropies that
    counting alone reaches on the same texts; or an infilling benchmark.
    """
    from textdiff.evaluation import INFILL, METRICS, case_sets, check_metrics, evaluate_infilling
    from textdiff.evaluation import evaluate as run_metrics
    from textdiff.evaluation.infilling import BASELINES, check_kind, joint_way

    wanted = METRICS if metrics is None else _names(metrics)
    check_metrics(wanted)
    for kind in _names(kinds):
        check_kind(kind)
    ways = (*map(joint_way, _names(lengths)), *(BASELINES if baselines else ()))
    infiller = load_infiller(model, device)
    from rich.console import Console

    scores: list[Score] = []
    report: InfillReport | None = None
    with Console(stderr=True).status("scoring") as status:
        if plainly := [name for name in wanted if name != INFILL]:
            scores = run_metrics(
                infiller,
                data,
                plainly,
                repeats=repeats or 1,
                max_windows=max_windows,
                seed=seed,
                unit=unit,
                column=column,
                on_windows=lambda done: status.update(f"scored {done} windows"),
            )
        if INFILL in wanted:
            report = evaluate_infilling(
                infiller,
                case_sets(infiller, data, _names(kinds), cases, seed, unit=unit, column=column),
                ways,
                seed=seed,
                repeats=repeats or 4,
                on_progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            )
    if as_json:
        rows = [score.plain() for score in scores]
        found = {"schema": "textdiff.evaluate/1", "model": infiller.name, "seed": seed, "scores": rows}
        put_json(found if report is None else found | {"infill": plain(report)})
        return
    put((score_table(scores) if scores else "") + ("" if report is None else printed(report)))


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(","))


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
