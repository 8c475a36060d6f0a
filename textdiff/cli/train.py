"""`textdiff train`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdiff.cli.loading import hush
from textdiff.cli.options import Settings
from textdiff.cli.output import put, show
from textdiff.errors import UsageError

if TYPE_CHECKING:
    from textdiff.infiller import Checkpoint
    from textdiff.metrics import Score

EXAMPLES = r"""Examples:
  textdiff train recipes/shakespeare.yaml --output runs/shakespeare
  textdiff train my.yaml --output runs/my --set process.name=uniform seed=1
  textdiff train my.yaml --set training.max_steps=200 --dry-run
"""

Output = Annotated[
    Path | None, typer.Option("--output", metavar="DIR", help="The run's folder; the model will be in DIR/model.")
]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file.")],
    output: Output = None,
    settings: Settings = None,
    resume: Annotated[
        str,
        typer.Option(
            "--resume", metavar="auto|never|PATH", help="Go on from DIR's newest state, or from that in PATH."
        ),
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the whole recipe as it would run, and stop.")
    ] = False,
) -> None:
    """Train a model from scratch, as a recipe says.

    Prints the model's folder, and on standard error its scores on the held-out text beside
    that text's own unigram and bigram entropies. A run that was stopped goes on from its
    last saved state when it is started again.
    """
    if output is None and not dry_run:
        raise UsageError("--output is missing: name the folder of the run")
    hush()
    from textdiff.files import dump_yaml
    from textdiff.recipe import load_recipe, run_recipe
    from textdiff.registry import to_config

    wanted = load_recipe(recipe, settings or ())
    if dry_run or output is None:
        put(dump_yaml(to_config(wanted)))
        return
    with resumable(output):
        trained = run_recipe(wanted, recipe.parent, output, resume)
    announce(output, trained)


@contextmanager
def resumable(output: Path) -> Iterator[None]:
    """Says on an interrupt what is left of the run."""
    from textdiff.training import state_folders

    try:
        yield
    except KeyboardInterrupt:
        states = state_folders(output)
        left = f"the same command goes on from {states[-1]}" if states else "nothing had been saved yet"
        raise KeyboardInterrupt(f"interrupted; {left}") from None


def announce(output: Path, trained: Checkpoint) -> None:
    """Says how the model scores, and prints where it is; of several processes only the first one does."""
    if os.environ.get("RANK", "0") != "0":
        return
    from textdiff.cli.score_tables import score_table
    from textdiff.metrics import Score

    metrics = trained.metrics or {}
    scores = [Score(**score) for score in metrics.get("scores", [])]
    if scores:
        whole = "|windows:all|" in scores[0].signature
        show(f"held-out text, {'whole' if whole else 'in part'}:\n" + score_table(scores))
        show(comparison([Score(**score) for score in metrics.get("before", [])], scores))
    put(f"{output / 'model'}\n")


def comparison(before: Sequence[Score], after: Sequence[Score]) -> str:
    """What fine-tuning changed, in a line a score, and advice where it did no good; "" for a new model."""
    from textdiff.cli.score_tables import number
    from textdiff.cli.tables import aligned
    from textdiff.recipe.comparing import pairs

    found = pairs(before, after)
    if not found:
        return ""
    rows = [
        (new.name, number(old.value, old.standard_error), "->", number(new.value, new.standard_error), new.unit)
        for old, new in found
    ]
    advice = (
        "\nThe held-out text has not become likelier: give more text, or try fewer steps or a smaller learning rate "
        "(--set training.max_steps=…, training.learning_rate=…).\n"
    )
    return "before and after:\n" + aligned(rows) + (advice if found[0][1].value >= found[0][0].value else "")
