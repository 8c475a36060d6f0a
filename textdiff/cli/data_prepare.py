"""`textdiff data prepare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textdiff.cli.options import Detokenize, Settings, VocabSize
from textdiff.cli.output import put, say, show
from textdiff.cli.reading_meter import ReadingMeter
from textdiff.cli.tokenizer_choice import tokenizer_choice
from textdiff.errors import UsageError
from textdiff.files import unusable

if TYPE_CHECKING:
    from textdiff.recipe.recipe import DataConfig, TokenizerConfig

EXAMPLES = r"""Examples:
  textdiff data prepare --data my/*.txt --tokenizer default --output p
  textdiff data prepare --data a.csv --tokenizer byte_bpe --output p
  textdiff data prepare recipes/shakespeare.yaml --output p
  textdiff finetune --data p --output runs/mine
"""


def prepare(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The folder for the tokens.")],
    recipe: Annotated[
        Path | None, typer.Argument(metavar="RECIPE", help="A YAML file, in place of --data and --tokenizer.")
    ] = None,
    settings: Settings = None,
    data: Annotated[
        list[Path] | None, typer.Option("--data", metavar="FILE…", help="Texts or tables, as for training.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", metavar="PATH|KIND", help="A folder or model with one, or a kind to train."),
    ] = None,
    vocab_size: VocabSize = None,
    unit: Annotated[
        Literal["file", "blank_line", "line"] | None,
        typer.Option("--unit", help="What a document of a text file is: file by default."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="The column of a table: text by default.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option("--encoding", metavar="NAME", help="Of texts: utf-8 by default.")
    ] = None,
    detokenize: Detokenize = None,
    skip_bad: Annotated[
        int | None, typer.Option("--skip-bad", min=1, metavar="N", help="Leave out up to N rows that cannot be used.")
    ] = None,
) -> None:
    """Tokenise a corpus once, into a folder; prints the folder.

    Training and fine-tuning take the folder as their data and start at once; the text
    need not fit into memory. Given again, the command has nothing to do.
    """
    reading = {
        "unit": unit,
        "column": column,
        "encoding": encoding,
        "detokenize": detokenize,
        "skip_bad": skip_bad,
    }
    plain = {"data": data, "tokenizer": tokenizer, "vocab_size": vocab_size, **reading}
    given = [name.replace("_", "-") for name, value in plain.items() if value]
    if recipe is not None and given:
        raise UsageError(f"--{given[0]} goes without a recipe; change the recipe's own keys with --set")
    if recipe is None:
        if settings:
            raise UsageError("--set changes keys of a recipe, and none is given")
        text, wanted = _asked(data or [], tokenizer, vocab_size, {k: v for k, v in reading.items() if v})
        _run(text, wanted, Path(), output)
        return
    from textdiff.recipe import load_recipe

    loaded = load_recipe(recipe, settings or ())
    _run(loaded.data, loaded.tokenizer, recipe.parent, output)


def _asked(
    files: Sequence[Path], tokenizer: str | None, vocab_size: int | None, reading: Mapping[str, str | int]
) -> tuple[DataConfig, TokenizerConfig]:
    """What the options say, as a recipe would say it."""
    from textdiff.recipe.recipe import DataConfig
    from textdiff.registry import build
    from textdiff.text.tokenizers import TRAINABLE

    if not files:
        raise UsageError("give texts with --data, or a recipe")
    if tokenizer is None:
        raise UsageError(
            f"--tokenizer is missing: a folder or model with one, or a kind to train ({', '.join(TRAINABLE)})"
        )
    data = build(DataConfig, {"train": [str(file) for file in files], **reading}, "data")
    return data, tokenizer_choice(tokenizer, vocab_size)


def _run(data: DataConfig, wanted: TokenizerConfig, folder: Path, output: Path) -> None:
    from textdiff.recipe.preparing import prepare as prepare_text
    from textdiff.recipe.texts import say_skipped

    there = not unusable(output) and output.exists()
    try:
        made = prepare_text(data, wanted, folder, output, ReadingMeter)
    except KeyboardInterrupt:
        left = f"{output} is as it was" if there else "nothing was written"
        raise KeyboardInterrupt(f"interrupted; {left}") from None
    if made.repaired:
        say(f"{output} was damaged and has been made again: {made.repaired}")
    if made.skipped:
        say_skipped(made.skipped)
    if not made.is_new:
        say(f"nothing to do: {output} was made from these texts already")
    show(f"{len(made.corpus.ids):,} tokens of {made.corpus.documents:,} documents")
    put(f"{output}\n")
