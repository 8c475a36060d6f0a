"""`textdiff info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textdiff.cli.loading import hush
from textdiff.cli.options import AsJson
from textdiff.cli.output import put, put_json
from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.infiller import Checkpoint

EXAMPLES = r"""Examples:
  textdiff info default
  textdiff info runs/mine --json
"""

_CARD_LINES = 6


def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for -m of other commands.")],
    as_json: AsJson = False,
) -> None:
    """Show what a model is made of, and how good it is."""
    hush()
    from textdiff.infiller import find_model, open_checkpoint
    from textdiff.infiller.checkpoint import is_checkpoint

    folder = find_model(model)
    kind = "textdiff checkpoint" if is_checkpoint(folder) else "masked language model"
    found = describe(model, folder, kind, open_checkpoint(model))
    if as_json:
        put_json({"schema": "textdiff.info/1", **found})
    else:
        put(_page(found))


def describe(name: str, folder: Path, kind: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """What is known about a model, as plain data."""
    from textdiff.registry import to_config

    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    scores = (checkpoint.metrics or {}).get("scores", [])
    return {
        "model": name,
        "folder": str(folder),
        "kind": kind,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "process": to_config(model.process),
        "left_to_right": model.process.left_to_right,
        "both_sides": model.process.both_sides,
        "prediction": model.config.prediction,
        "backbone": to_config(model.backbone.config),
        "context_length": model.config.context_length,
        "target_length": model.config.target_length,
        "vocabulary_size": tokenizer.vocabulary.size,
        "tokenizer": tokenizer.kind,
        "filler": tokenizer.vocabulary.filler_id is not None,
        "samplers": to_config(checkpoint.samplers),
        "scores": scores,
        "card": checkpoint.card,
    }


def _page(found: dict[str, Any]) -> str:
    from textdiff.cli.components import value_text
    from textdiff.cli.score_tables import number

    filler = "yes: a gap's text may be shorter than its room" if found["filler"] else "no: a gap's room is its length"
    rows = [
        ("model", found["model"]),
        ("folder", found["folder"]),
        ("kind", found["kind"]),
        ("network", f"{found['backbone']['name']}, {found['parameters']:,} parameters"),
        ("process", value_text(found["process"])),
        ("reads", _reads(found)),
        ("prediction", found["prediction"]),
        ("context", f"{found['context_length']:,} tokens"),
        *(
            [("makes", f"targets of up to {found['target_length']:,} tokens of sources")]
            if found["target_length"]
            else []
        ),
        ("tokenizer", f"{found['tokenizer']}, {found['vocabulary_size']:,} ids"),
        ("filler", filler),
        *((f"{use} sampler", value_text(sampler)) for use, sampler in found["samplers"].items()),
        *((s["name"], f"{number(s['value'], s['standard_error'])} {s['unit']}") for s in found["scores"]),
    ]
    card = card_lines(found["card"])
    return aligned(rows) + ("\n" + "\n".join(card) + "\n" if card else "")


def _reads(found: dict[str, Any]) -> str:
    if found["both_sides"]:
        return "in both directions"
    return ("from left to right" if found["left_to_right"] else "block by block") + ": cannot fill gaps"


def card_lines(card: str) -> list[str]:
    """The first lines of a model card after its front matter, those with nothing left out."""
    lines = card.splitlines()
    if lines[:1] == ["---"] and "---" in lines[1:]:
        lines = lines[lines.index("---", 1) + 1 :]
    return [line for line in lines if line.strip()][:_CARD_LINES]
