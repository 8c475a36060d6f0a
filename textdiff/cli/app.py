"""All commands, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer

from textdiff import __version__
from textdiff.cli import (
    benchmark,
    components,
    curves,
    data_check,
    data_prepare,
    doctor,
    evaluate,
    export,
    finetune,
    generate,
    infill,
    info,
    revise,
    score,
    tokenizer,
    train,
    verify,
)
from textdiff.cli.command import Command, verbatim
from textdiff.cli.output import put

_EPILOG = """Exit codes:
  0 ok, 1 bug, 2 usage, 3 configuration, 4 input data, 5 model or checkpoint,
  6 resources, 7 training became non-finite, 8 a verification failed,
  75 stopped after a good state was saved, 130 interrupted
"""
_EXAMPLES = """Examples:
  textdiff infill letter.md
  textdiff generate "Once upon a time" --watch
  textdiff finetune --data my/*.txt --output runs/mine
"""
_DATA_EXAMPLES = """Examples:
  textdiff data check my/*.txt
  textdiff data prepare --data my/*.txt --tokenizer default --output p
"""


@cache
def make_command() -> Any:
    """The command `textdiff`, as click knows it."""
    app = _group(_options, _EXAMPLES + "\n" + _EPILOG)
    _add(app, "infill", infill.infill, infill.EXAMPLES)
    _add(app, "generate", generate.generate, generate.EXAMPLES)
    _add(app, "revise", revise.revise, revise.EXAMPLES)
    _add(app, "score", score.score, score.EXAMPLES)
    _add(app, "train", train.train, train.EXAMPLES)
    _add(app, "finetune", finetune.finetune, finetune.EXAMPLES)
    _add(app, "curves", curves.curves, curves.EXAMPLES)
    _add(app, "evaluate", evaluate.evaluate, evaluate.EXAMPLES)
    _add(app, "benchmark", benchmark.benchmark, benchmark.EXAMPLES)
    tokenizers = _group(_tokenizer, tokenizer.EXAMPLES)
    _add(tokenizers, "train", tokenizer.train, tokenizer.TRAIN_EXAMPLES)
    _add(tokenizers, "check", tokenizer.check, tokenizer.CHECK_EXAMPLES)
    app.add_typer(tokenizers, name="tokenizer")
    corpora = _group(_data, _DATA_EXAMPLES)
    _add(corpora, "check", data_check.check, data_check.EXAMPLES)
    _add(corpora, "prepare", data_prepare.prepare, data_prepare.EXAMPLES)
    app.add_typer(corpora, name="data")
    _add(app, "list", components.components, components.EXAMPLES)
    _add(app, "info", info.info, info.EXAMPLES)
    _add(app, "export", export.export, export.EXAMPLES)
    _add(app, "verify", verify.verify, verify.EXAMPLES)
    _add(app, "doctor", doctor.doctor, doctor.EXAMPLES)
    return typer.main.get_command(app)


def _group(callback: Callable[..., None], epilog: str) -> typer.Typer:
    return typer.Typer(callback=callback, epilog=verbatim(epilog), add_completion=False, rich_markup_mode=None)


def _add(app: typer.Typer, name: str, function: Callable[..., None], examples: str) -> None:
    app.command(name, cls=Command, epilog=verbatim(examples))(function)


def _show_version(wanted: bool) -> None:
    if wanted:
        put(f"textdiff {__version__}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show where an error came from; also TEXTDIFF_DEBUG=1. Every command has it."),
    ] = False,
) -> None:
    """Fill the blanks of documents, and generate text, by discrete diffusion."""


def _tokenizer() -> None:
    """Train a tokenizer, or check one on text."""


def _data() -> None:
    """Check texts, or tokenise them once."""
