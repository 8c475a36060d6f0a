"""`textdiff finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdiff.cli.loading import hush
from textdiff.cli.options import Data, Model, Settings, VocabSize
from textdiff.cli.tokenizer_choice import tokenizer_choice
from textdiff.cli.train import announce, resumable
from textdiff.errors import UsageError

EXAMPLES = r"""Examples:
  textdiff finetune --data my/*.txt --output runs/mine
  textdiff finetune -m runs/mine --data more.txt --output runs/more
  textdiff finetune --data a.jsonl --output runs/a --set data.column=body
  textdiff finetune --data my.txt --output my --set training.max_steps=300
  textdiff finetune -m bert --tokenizer byte_bpe --data my.txt --output my
"""


def finetune(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The run's folder; the model will be in DIR/model.")
    ],
    model: Model = "default",
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="PATH|KIND",
            help="Another tokenizer than the model's: a folder or model with one, or a kind to train on your texts.",
        ),
    ] = None,
    vocab_size: VocabSize = None,
    settings: Settings = None,
) -> None:
    """Teach a model the language of your texts.

    Prints the new model's folder. Vocabulary, noise and network are those of MODEL; the
    number of steps follows the size of the texts. A run that was stopped goes on from
    its last saved state when it is started again.

    With --tokenizer the network keeps what it knows, and its tokens change: each new one
    begins as those old ones that spell it. So an uncased model learns to write capitals.
    """
    hush()
    from textdiff.infiller import open_checkpoint
    from textdiff.recipe import run_recipe
    from textdiff.recipe.finetuning import finetuning_recipe, with_tokenizer
    from textdiff.recipe.resuming import require_usable, say

    if tokenizer is None and vocab_size is not None:
        raise UsageError("--vocab-size is for a tokenizer that is trained: name its kind with --tokenizer")
    require_usable(output)  # before the texts are read to count their tokens
    wanted = None if tokenizer is None else tokenizer_choice(tokenizer, vocab_size)
    files, overrides = [str(file) for file in data], settings or ()
    start = open_checkpoint(model, for_training=True)
    if start.model.backbone.has_new_head:
        say(f"{model} has no language-model head: a new one is trained from random weights")
    if wanted is not None:
        start = with_tokenizer(start, wanted, files, overrides)
    recipe = finetuning_recipe(start, model, files, overrides, wanted)
    with resumable(output):
        trained = run_recipe(recipe, Path(), output, start=start)
    announce(output, trained)
