"""`textdiff revise`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from textdiff.cli.documents import read_input
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Device, Model, Seed
from textdiff.cli.output import is_terminal, put, put_json, say
from textdiff.cli.patch import put_diff
from textdiff.cli.places import Places
from textdiff.cli.score import Exact, Stride, cell, chance, progress
from textdiff.cli.tables import aligned
from textdiff.errors import UsageError, VerificationError
from textdiff.files import atomic_write

if TYPE_CHECKING:
    from textdiff.infiller.protecting import Protection
    from textdiff.infiller.revising import ReviseResult

EXAMPLES = r"""Examples:
  textdiff revise letter.md
  textdiff revise letter.md --edits 1 --in-place
  textdiff revise letter.md --diff | patch letter.md
  textdiff revise letter.md --check --fail-below 1e-6
  textdiff revise page.md --protect markdown,html --protect-regex "Acme \w+"

What stays as it is (--protect, all of it by default):
  markdown   front matter, fenced and inline code, targets of links
  html       tags, comments, entities, scripts, code
  addresses  URLs, e-mail addresses, paths, names of files, identifiers
  numbers    words with digits
  names      words with a capital that begin no sentence
and gaps such as [MASK: 3 words] in any case.

With --check the exit code is 0, or 8 where --fail-below finds a word.
"""


def revise(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The text, UTF-8; - reads standard input.")],
    model: Model = "default",
    device: Device = None,
    edits: Annotated[int, typer.Option("--edits", min=1, metavar="N", help="Change N words at most.")] = 5,
    below: Annotated[
        float | None, typer.Option("--below", metavar="P", help="Only words with a probability below P.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", metavar="NATS", help="How much doubt an edit must take away.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write the text there.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace FILE, in one step.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print a diff that `patch` applies; a terminal gets it anyway.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing: list the doubtful words.")] = False,
    fail_below: Annotated[
        float | None,
        typer.Option("--fail-below", metavar="P", help="With --check: exit 8 if a word has a probability below P."),
    ] = None,
    protect: Annotated[
        str | None, typer.Option("--protect", metavar="KIND,…", help="What stays: see below; or none.")
    ] = None,
    protect_regex: Annotated[
        list[str] | None, typer.Option("--protect-regex", metavar="REGEX", help="What matches stays; repeatable.")
    ] = None,
    protect_span: Annotated[
        list[str] | None, typer.Option("--protect-span", metavar="START:END", help="These bytes stay; repeatable.")
    ] = None,
    stride: Stride = 16,
    exact: Exact = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Rewrite the words of a text that fit least.

    Finds the most doubtful words, writes them anew in their context, and keeps what makes
    the text likelier. A word stays one word, and all other bytes stay.
    """
    target = _target(file, output, in_place, diff, check, as_json)
    if fail_below is not None and (not check or below is not None):
        raise UsageError("--fail-below goes with --check, and without --below: it says itself which words to look at")
    limit = below if fail_below is None else fail_below
    options = _options(edits, limit, margin)
    protection = _protection(protect, protect_regex or (), protect_span or ())
    source = read_input(file)
    infiller = load_infiller(model, device)
    from textdiff.infiller.revising import revise as revise_text

    with progress("scoring") as watch:
        result = revise_text(
            infiller,
            source,
            seed=seed,
            stride=None if exact else stride,
            protection=protection,
            on_progress=watch,
            **options,
        )
    if isinstance(target, Path) and (result.edits or not in_place):
        atomic_write(target, result.document.encode(), original=source if in_place else None)
    if as_json:
        put_json(report(result))
    elif check:
        put(_table(result, source))
    elif target == "diff":
        put_diff(_diff(result, source, "document" if file == "-" else file))
    elif target == "text":
        put(result.document)
    if fail_below is not None and result.doubtful:
        raise VerificationError(_verdict(result, fail_below, source))
    if not (check or as_json or result.edits):
        say("textdiff: nothing was changed: no other word makes the text likelier")


def _target(
    file: str, output: Path | None, in_place: bool, diff: bool, check: bool, as_json: bool
) -> Path | Literal["text", "diff", "nothing"]:
    """Where the revised text goes, and in which form."""
    if sum([output is not None, in_place, diff, check]) > 1:
        raise UsageError("give only one of --output, --in-place, --diff and --check")
    if diff and as_json:
        raise UsageError("--diff and --json both print to standard output: give one of them")
    if in_place and file == "-":
        raise UsageError("--in-place needs a file, not standard input")
    if in_place:
        return Path(file)
    if output is not None and str(output) != "-":
        return output
    if check:
        return "nothing"
    return "diff" if diff or (output is None and is_terminal(sys.stdout)) else "text"


def report(result: ReviseResult) -> dict[str, Any]:
    """The JSON object `textdiff.revise/1`."""
    places = [asdict(place) | {"probability": math.exp(place.log_likelihood)} for place in result.places]
    return {
        "schema": "textdiff.revise/1",
        "model": result.model,
        "seed": result.seed,
        "document": result.document,
        "places": places,
        "stats": {
            "edits": len(result.edits),
            "words": result.words,
            "doubtful": result.doubtful,
            "seconds": result.seconds,
        },
    }


def _options(edits: int, below: float | None, margin: float | None) -> dict[str, Any]:
    """What `revise` is asked for, checked before a model is loaded."""
    from textdiff.infiller.revising import MARGIN, check_options

    limit, least = 1.0 if below is None else below, MARGIN if margin is None else margin
    check_options(edits, limit, least)
    return {"edits": edits, "below": limit, "margin": least}


def _protection(kinds: str | None, patterns: Sequence[str], spans: Sequence[str]) -> Protection:
    from textdiff.infiller.protecting import KINDS, Protection
    from textdiff.text.spans import parse_span

    named = tuple(KINDS) if kinds is None else tuple(kind.strip() for kind in kinds.split(","))
    found = [parse_span(span) for span in spans]
    return Protection(
        () if named == ("none",) else named, tuple(patterns), tuple((span.start_byte, span.end_byte) for span in found)
    )


def _diff(result: ReviseResult, source: bytes, name: str) -> bytes:
    from textdiff.cli.diff import unified_diff
    from textdiff.text.document import Document, Span

    spans = [Span(edit.start_byte, edit.end_byte) for edit in result.edits]
    return unified_diff(Document.with_spans(source, spans), [edit.replacement for edit in result.edits], name)


def _table(result: ReviseResult, source: bytes) -> str:
    places = Places(source)
    rows = [["place", "word", "probability", "doubt", "instead", "doubt then"]]
    for place in result.places:
        figures = [chance(place.log_likelihood), f"{place.suspicion:.1f}"]
        better = place.kept or (place.relief >= result.margin and place.gain > 0)
        instead = [cell(place.replacement), f"{place.suspicion - place.relief:.1f}"] if better else ["-", "-"]
        rows.append([places.of(place.start_byte), cell(place.text), *figures, *instead])
    return aligned(rows)


def _verdict(result: ReviseResult, below: float, source: bytes) -> str:
    worst = min(result.places, key=lambda place: place.log_likelihood)
    words = "1 word has" if result.doubtful == 1 else f"{result.doubtful} words have"
    where = f"{worst.text!r} at {Places(source).of(worst.start_byte)} with {chance(worst.log_likelihood)}"
    return f"{words} a probability below {below:g}, among them {where}"
