"""What is told about filled documents: JSON objects, diffs, tables of alternatives, gaps that stayed open."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from textdiff.cli.diff import unified_diff
from textdiff.cli.output import is_terminal, put, say, show, shows_colours
from textdiff.cli.tables import aligned
from textdiff.cli.visible import painted, visible

if TYPE_CHECKING:
    from textdiff.infiller import InfillResult
    from textdiff.text.document import Document

SCHEMA = "textdiff.infill/1"


def report(result: InfillResult, **place: object) -> dict[str, Any]:
    """The JSON object `textdiff.infill/1`; `place` says which of several documents it is."""
    return {
        "schema": SCHEMA,
        **place,
        "model": result.model,
        "seed": result.seed,
        "document": result.document,
        "gaps": [asdict(gap) for gap in result.gaps],
        "stats": asdict(result.stats),
    }


def failure(error: Exception, **place: object) -> dict[str, Any]:
    """The JSON object of a document that could not be filled."""
    return {"schema": SCHEMA, **place, "error": str(error)}


def texts_of(result: InfillResult) -> list[str | None]:
    """What stands in the gaps now; None in those that are open."""
    return [None if gap.open else gap.text for gap in result.gaps]


def tell_open(result: InfillResult, document: Document, name: str) -> int:
    """Names the gaps that were left open on stderr; returns how many there are."""
    opened = [gap for gap in result.gaps if gap.open]
    for gap in opened:
        markup = document.gaps[gap.index].markup
        say(
            f"textdiff: {name}: gap {gap.index + 1}, {markup:.80}, is left open: "
            f"its best text has a confidence of {gap.confidence:.2f}"
        )
    return len(opened)


def tell_alternatives(result: InfillResult) -> None:
    """Shows the texts that a gap could have on stderr, best first."""
    rows = [["gap", "", "score", "confidence", "text"]]
    for gap in result.gaps:
        label = f"{gap.index + 1}" + (f" ({gap.name})" if gap.name else "")
        for rank, other in enumerate(gap.alternatives, 1):
            numbers = [f"{other.score:.2f}", f"{other.confidence:.2f}"]
            rows.append([visible(label), str(rank), *numbers, visible(other.text).replace("\r", "").replace("\n", "␊")])
            label = ""
    if len(rows) > 1:
        show(aligned(rows).rstrip("\n"))


def print_diff(document: Document, result: InfillResult, name: str) -> None:
    """Prints the diff that `patch` applies, in colour where a person looks at it."""
    data = unified_diff(document, texts_of(result), name)
    if not is_terminal(sys.stdout):
        put(data)
        return
    styles = {"+": "added", "-": "removed", "@": "place"} if shows_colours(sys.stdout) else {}
    for line in re.split("\r?\n", data.decode(errors="replace").removesuffix("\n")):
        style = styles.get(line[:1])
        put((painted(line, style) if style else visible(line)) + "\n")
