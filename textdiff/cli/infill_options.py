"""The options of `textdiff infill` about gaps and their texts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from textdiff.errors import UsageError


def _confidence(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
        raise typer.BadParameter(f"{value} is not between 0 and 1.")
    return value


Length = Annotated[
    str,
    typer.Option(
        "--length",
        metavar="HOW",
        help="Of gaps that name none: model (its own choice), search (try lengths), N or A-B tokens, auto.",
    ),
]
Room = Annotated[
    int | None, typer.Option("--room", min=1, metavar="N", help="Tokens at most in a gap that names no length.")
]
Fills = Annotated[
    int, typer.Option("-n", min=1, max=1000, metavar="N", help="Fills to choose from; all are shown, best first.")
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence", metavar="P", callback=_confidence, help="Leave a gap open whose best text is below this."
    ),
]
Must = Annotated[
    list[str] | None, typer.Option("--must", metavar="WORD,…", help="Words that each gap's text has to contain.")
]
Forbid = Annotated[
    list[str] | None, typer.Option("--forbid", metavar="WORD,…", help="Words that no gap's text may contain.")
]


def infill_options(
    sampling: dict[str, Any],
    *,
    seed: int,
    room: int | None,
    length: str,
    n: int,
    min_confidence: float | None,
    must: Sequence[str],
    forbid: Sequence[str],
    score: bool,
) -> dict[str, Any]:
    """What `Infiller.infill` is given besides documents.

    Args:
        score: whether scores will be shown.

    Raises:
        UsageError: an option is not what it should be.
    """
    return sampling | {
        "seed": seed,
        "room": room,
        "length": _length(length),
        "n": n,
        "min_confidence": min_confidence,
        "must": _words("--must", must),
        "forbid": _words("--forbid", forbid),
        "score": score,
    }


def _length(text: str) -> str | int | tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", text.strip(), re.ASCII)
    if match is None:
        if text not in ("auto", "model", "search"):
            raise UsageError(f"--length is auto, model, search, N tokens or a range such as 2-6, got {text!r}")
        return text
    low, high = int(match[1]), int(match[2] or match[1])
    if not 1 <= low <= high:
        raise UsageError(f"--length begins at 1 token and ends where it is longest, got {text!r}")
    return low if match[2] is None else (low, high)


def _words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(word.strip() for text in given for word in text.split(","))
    if not all(words):
        raise UsageError(f"{option} wants words with commas between them, got {','.join(given)!r}")
    return words
