"""`textdiff finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdiff.cli.loading import hush
from textdiff.cli.options import Data, Model, Settings
from textdiff.cli.train import announce, resumable

EXAMPLES = r"""Examples:
  textdiff finetune --data my/*.txt --output runs/mine
  textdiff finetune -m runs/mine --data more.txt --output runs/more
  textdiff finetune --data a.jsonl --output runs/a --set data.column=body
  textdiff finetune --data my.txt --output my --set training.max_steps=300
"""


def finetune(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The run's folder; the model will be in DIR/model.")
    ],
    model: Model = "default",
    settings: Settings = None,
) -> None:
    """Teach a model the language of your texts.

    Prints the new model's folder. Vocabulary, noise and network are those of MODEL; the
    number of steps follows the size of the texts. A run that was stopped goes on from
    its last saved state when it is started again.
    """
    hush()
    from textdiff.infiller import open_checkpoint
    from textdiff.recipe import run_recipe
    from textdiff.recipe.finetuning import finetuning_recipe
    from textdiff.recipe.resuming import require_usable

    require_usable(output)  # before the texts are read to count their tokens
    start = open_checkpoint(model)
    recipe = finetuning_recipe(start, model, [str(file) for file in data], settings or ())
    with resumable(output):
        trained = run_recipe(recipe, Path(), output, start=start)
    announce(output, trained)
