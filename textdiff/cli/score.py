"""`textdiff score`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from textdiff.cli.documents import read_input
from textdiff.cli.loading import load_infiller
from textdiff.cli.options import AsJson, Device, Model
from textdiff.cli.output import put, put_json, shows_colours
from textdiff.cli.places import Places
from textdiff.cli.tables import aligned
from textdiff.cli.visible import painted, visible
from textdiff.errors import UsageError

if TYPE_CHECKING:
    from textdiff.infiller.scoring import Scored, ScoreResult, Watch

EXAMPLES = r"""Examples:
  textdiff score letter.md
  textdiff score letter.md --worst 10
  textdiff score letter.md --by line --worst 5 --exact
  echo "He opened the dore." | textdiff score - --json

Columns:
  place        line and column
  nats         log-likelihood given all the rest of the text
  doubt        how far that is below what can be asked of a word so rare, nats
  rank         place of its least likely token among all, by probability
"""

Stride = Annotated[
    int,
    typer.Option(
        "--stride", min=2, metavar="N", help="Hide every N-th token at once; more is slower, nearer to exact."
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Hide one place at a time: exact, and slow.")]
DOUBTFUL, WRONG = 5.0, 7.0
"""Nats of suspicion from which a word is painted yellow, and red: 5 and 1 of 100 words of good prose, as the packaged
model sees it, and some 60 and 30 of 100 wrong ones."""


def score(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The text, UTF-8; - reads standard input.")],
    model: Model = "default",
    device: Device = None,
    by: Annotated[Literal["word", "token", "line"], typer.Option("--by", help="What is scored.")] = "word",
    worst: Annotated[
        int | None, typer.Option("--worst", min=1, metavar="N", help="Only the N most doubtful, the worst first.")
    ] = None,
    stride: Stride = 16,
    exact: Exact = False,
    paint: Annotated[
        bool | None,
        typer.Option("--paint/--table", help="The text with doubtful words in colour, as on a terminal, or a table."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how likely each word of a text is, given all the rest of it.

    On a terminal the text is shown with doubtful words in yellow and red; elsewhere a table
    is printed. Scores are approximate in the first decimal unless --exact is given.
    """
    if paint and (as_json or worst is not None):
        raise UsageError("--paint shows the whole text: give it without --worst and --json")
    source = read_input(file)
    infiller = load_infiller(model, device)
    from textdiff.infiller.scoring import score as score_text

    with progress("scoring") as watch:
        result = score_text(infiller, source, by, None if exact else stride, watch)
    units = worst_of(result.units, worst)
    if as_json:
        put_json(report(result, units))
    elif paint or (paint is None and worst is None and shows_colours(sys.stdout)):
        put(_painted(result, source))
    else:
        put(_table(result, units, source))


def worst_of(units: Sequence[Scored], count: int | None) -> Sequence[Scored]:
    """The most doubtful units, the worst first; all in their order where no count is given."""
    if count is None:
        return units
    return sorted((unit for unit in units if unit.known), key=lambda unit: -unit.suspicion)[:count]


def report(result: ScoreResult, units: Sequence[Scored]) -> dict[str, Any]:
    """The JSON object `textdiff.score/1`."""
    return {
        "schema": "textdiff.score/1",
        "model": result.model,
        "by": result.by,
        "log_likelihood": result.log_likelihood,
        "log_likelihood_per_byte": result.per_byte,
        "bytes": result.bytes,
        "stride": result.stride,
        "units": [_plain(unit, result.by) for unit in units],
        "stats": {"scored": result.scored, "unscored": result.unscored, "seconds": result.seconds},
    }


@contextmanager
def progress(what: str) -> Iterator[Watch]:
    """Says on stderr, where that is a terminal, how far it is."""
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda done, total: status.update(f"{what}: {done:,} of {total:,} tokens")


def cell(text: str) -> str:
    """A text in a table: on one line, the space at its beginning visible."""
    shown = visible(text).translate({0x09: "␉", 0x0A: "␊", 0x0D: "␍"})
    return "␠" + shown[1:] if shown.startswith(" ") else shown


def chance(log_likelihood: float) -> str:
    """A probability for people."""
    return f"{math.exp(log_likelihood):.2g}"


def _plain(unit: Scored, by: str) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "text": unit.text,
        "start_byte": unit.start_byte,
        "end_byte": unit.end_byte,
        "log_likelihood": unit.log_likelihood,
        "probability": math.exp(unit.log_likelihood),
        "suspicion": unit.suspicion,
        "rank": unit.rank or None,
    }
    if by == "line":
        return plain | {"words": [_plain(word, "word") for word in unit.parts]}
    plain["first_choice"] = unit.first_choice if unit.known else None
    return plain | ({"tokens": [_plain(token, "token") for token in unit.parts]} if by == "word" else {})


def _table(result: ScoreResult, units: Sequence[Scored], source: bytes) -> str:
    places = Places(source)
    last = "nats a byte" if result.by == "line" else "first choice"
    rows = [["place", result.by, "nats", "probability", "doubt", "rank", last]]
    for unit in units:
        text = cell(unit.text.rstrip("\r\n") if result.by == "line" else unit.text)
        place = places.of(unit.start_byte)
        if not unit.known:
            rows.append([place, text, *"-----"])
            continue
        per_byte = unit.log_likelihood / (unit.end_byte - unit.start_byte) if result.by == "line" else 0.0
        figures = [f"{unit.log_likelihood:.2f}", chance(unit.log_likelihood), f"{unit.suspicion:.1f}", f"{unit.rank:,}"]
        rows.append([place, text, *figures, f"{per_byte:.3f}" if result.by == "line" else cell(unit.first_choice)])
    return f"{aligned(rows)}\n{_summary(result)}"


def _painted(result: ScoreResult, source: bytes) -> str:
    """The text with its doubtful words in colour. In lines too it is the words that are painted."""
    words = [word for unit in result.units for word in (unit.parts if result.by == "line" else (unit,))]
    shown, end, doubtful, wrong = [], 0, 0, 0
    for word in words:
        if not word.suspicion >= DOUBTFUL:
            continue
        bad = word.suspicion >= WRONG
        shown.append(visible(source[end : word.start_byte].decode(errors="replace")))
        text = source[word.start_byte : word.end_byte].decode(errors="replace")
        shown.append(painted(text, "removed" if bad else "doubt"))
        end, doubtful, wrong = word.end_byte, doubtful + (not bad), wrong + bad
    text = "".join([*shown, visible(source[end:].decode(errors="replace"))])
    note = f"{painted(f'{wrong} red', 'removed')} and {painted(f'{doubtful} yellow', 'doubt')} of {len(words):,}"
    return text + ("" if text.endswith("\n") else "\n") + f"\n{note}. {_summary(result)}"


def _summary(result: ScoreResult) -> str:
    how = "exact" if result.stride is None else f"at a stride of {result.stride}"
    left = f", {result.unscored:,} unknown to the model" if result.unscored else ""
    per_byte, total = f"{result.per_byte:.4f} nats a byte", f"{result.log_likelihood:,.1f} nats"
    return f"{total}, {per_byte}; {result.scored:,} tokens scored{left}, {how}\n"
