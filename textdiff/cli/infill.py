"""`textdiff infill`."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textdiff.cli.documents import read_input
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import (
    AsJson,
    Model,
    SamplerName,
    Seed,
    Steps,
    Temperature,
    TopK,
    TopP,
    Watch,
    WatchDelay,
    sampling,
)
from textdiff.cli.output import is_terminal, put, put_json, shows_colours
from textdiff.cli.visible import painted, painted_spans, visible
from textdiff.errors import UsageError
from textdiff.files import atomic_write

if TYPE_CHECKING:
    from textdiff.infiller import InfillResult
    from textdiff.text.document import Document

EXAMPLES = r"""Examples:
  textdiff infill letter.md
  textdiff infill letter.md --seed 7 -o filled.md
  textdiff infill letter.md --diff | patch letter.md
  textdiff infill notes.txt --in-place --mask-token ____
  echo "He opened the [MASK: 1 word]." | textdiff infill - --json

Gaps in a document:
  [MASK]  [MASK: 5 words]  [MASK: 3-8 words]  [MASK: 12 tokens]
  [MASK#name]  [MASK#name: 5 words]
  \[MASK] is the literal text [MASK].
"""


def infill(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The document, UTF-8; - reads standard input.")],
    model: Model = "default",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write the document there.")
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace FILE, in one step.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print a unified diff that `patch` applies.")] = False,
    steps: Steps = None,
    seed: Seed = 0,
    sampler: SamplerName = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    room: Annotated[
        int | None, typer.Option("--room", min=1, metavar="N", help="Tokens at most in a gap that names no length.")
    ] = None,
    mask_token: Annotated[
        str, typer.Option("--mask-token", metavar="TEXT", help="Another literal that marks a gap.")
    ] = "[MASK]",
    watch: Watch = False,
    watch_delay: WatchDelay = 0.05,
    as_json: AsJson = False,
) -> None:
    """Fill every gap of a document. All bytes outside the gaps stay as they are.

    The filled document goes to standard output, to OUT or back into FILE. Gaps need no length.
    """
    if sum([output is not None, in_place, diff]) > 1:
        raise UsageError("give only one of --output, --in-place and --diff")
    if diff and as_json:
        raise UsageError("--diff and --json both print to standard output: give one of them")
    if in_place and file == "-":
        raise UsageError("--in-place needs a file, not standard input")
    options = sampling(steps, sampler, temperature, top_k, top_p) | {"seed": seed, "room": room}
    source = read_input(file)
    document = _parse(source, mask_token)
    infiller = load_infiller(model)
    if watch:
        from textdiff.cli.watch import watch_documents

        with watch_documents([document], infiller.tokenizer, watch_delay) as on_progress:
            result = infiller.infill(document, on_progress=on_progress, **options)
    else:
        result = infiller.infill(document, **options)
    if in_place:
        atomic_write(Path(file), result.document.encode(), original=source)
    elif output is not None and str(output) != "-":
        atomic_write(output, result.document.encode())
    if as_json:
        put_json(report(result))
    elif diff:
        _print_diff(document, result, "document" if file == "-" else file)
    elif not in_place and (output is None or str(output) == "-"):
        _print_document(result)


def report(result: InfillResult) -> dict[str, object]:
    """The JSON object `textdiff.infill/1`."""
    return {
        "schema": "textdiff.infill/1",
        "model": result.model,
        "seed": result.seed,
        "document": result.document,
        "gaps": [asdict(gap) for gap in result.gaps],
        "stats": asdict(result.stats),
    }


def _parse(source: bytes, mask_token: str) -> Document:
    from textdiff.text.document import Document

    document = Document.parse(source, mask_token)
    document.require_gaps()
    return document


def _print_document(result: InfillResult) -> None:
    data = result.document.encode()
    if is_terminal(sys.stdout):
        spans = [(gap.start_byte, gap.end_byte) for gap in result.gaps]
        shown = painted_spans(data, spans, shows_colours(sys.stdout))
        put(shown if shown.endswith("\n") else shown + "\n")
    else:
        put(data)


def _print_diff(document: Document, result: InfillResult, name: str) -> None:
    from textdiff.cli.diff import unified_diff

    data = unified_diff(document, [gap.text for gap in result.gaps], name)
    if not is_terminal(sys.stdout):
        put(data)
        return
    styles = {"+": "added", "-": "removed", "@": "place"} if shows_colours(sys.stdout) else {}
    for line in re.split("\r?\n", data.decode(errors="replace").removesuffix("\n")):
        style = styles.get(line[:1])
        put((painted(line, style) if style else visible(line)) + "\n")
