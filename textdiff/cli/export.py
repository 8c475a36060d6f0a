"""`textdiff export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdiff.cli.loading import hush
from textdiff.cli.output import put
from textdiff.errors import UsageError

EXAMPLES = r"""Examples:
  textdiff export runs/mine --output mine
  textdiff export runs/mine --output mine --self-contained
  textdiff export runs/mine --output mine --onnx
  textdiff export runs/mine --push-to me/mine --private
"""


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="'default', a checkpoint, a run's folder, or a masked language model."),
    ],
    output: Annotated[Path | None, typer.Option("--output", metavar="DIR", help="The folder to write.")] = None,
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="With the model's code, for transformers without textdiff.")
    ] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="With the denoiser as model.onnx too.")] = False,
    push_to: Annotated[
        str | None, typer.Option("--push-to", metavar="OWNER/NAME", help="Put it on the hub of models.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository of the hub is for its owner alone.")
    ] = False,
) -> None:
    """Write a model for others: into a folder, or to the hub; prints where it is.

    The folder holds weights, tokenizer, samplers, model card and a manifest of them all.
    With --self-contained, plain transformers loads it (trust_remote_code=True).
    """
    if output is None and push_to is None:
        raise UsageError("say where to: --output DIR, or --push-to OWNER/NAME")
    if private and push_to is None:
        raise UsageError("--private is for a repository of the hub: name it with --push-to")
    hush()
    from textdiff.files import require_replaceable
    from textdiff.infiller import exporting, open_checkpoint
    from textdiff.infiller.onnx import require_onnx

    if onnx:
        require_onnx()
    if output is not None:
        require_replaceable(output)
    checkpoint = open_checkpoint(model)
    if output is not None:
        exporting.export(checkpoint, output, self_contained, onnx)
        put(f"{output}\n")
    if push_to is not None:
        put(f"{exporting.push(checkpoint, push_to, self_contained, onnx, private)}\n")
