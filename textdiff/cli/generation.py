"""The frontier of generated texts: what is asked for, and what came of it, as a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.cli.infill_tables import cell
from textdiff.cli.tables import aligned
from textdiff.errors import UsageError

if TYPE_CHECKING:
    from textdiff.evaluation import GenerationRow, GenerationTask
    from textdiff.infiller import Infiller, SamplerOptions
    from textdiff.metrics import Score

_COLUMNS = {
    "generative_perplexity": "perplexity",
    "mauve": "MAUVE",
    "text_entropy": "entropy",
    "repetition": "repeated",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "distinct_3": "distinct-3",
    "self_bleu": "self-BLEU",
    "novelty": "novel",
    "network_calls": "calls",
}
_SAID = {"top_p": "top-p"}
_LEGEND = """No column alone says how good texts are: held-out text is what to come near to in all of them.
perplexity: of the texts under the scorer, a piece of its own, with the 95 % interval by text. MAUVE: nearness of both
laws by the scorer's hidden states, 0 to 1; it takes some thousand texts. entropy: of the tokens of a text by their own
counts in it, nats, the mean over texts. repeated: share of 4-grams of words that stood in the same text before.
distinct-n: share of all n-grams of words that are different. novel: share of the 8-grams of words that the reference
does not have. calls: network calls a text. ±: standard error. Texts and signatures are in --json.
"""


def sweep(
    sampler: str | None,
    steps: Sequence[int],
    temperature: float | None,
    temperatures: str | None,
    top_ps: str | None,
) -> list[SamplerOptions | None]:
    """How the model is to draw: every combination of what is listed, and first the held-out text for itself.

    Raises:
        UsageError: a value is out of its range.
    """
    from textdiff.infiller import SamplerOptions
    from textdiff.sampling import preset

    warmths = _numbers("--temperatures", temperatures) or (temperature,)
    points = itertools.product(steps or (None,), warmths, _numbers("--top-ps", top_ps) or (None,))
    found = [SamplerOptions(sampler, count, warmth, None, top_p) for count, warmth, top_p in points]
    for options in found:
        options.apply(preset("ancestral"))  # any will do to try values on
    return [None, *found]


def _numbers(option: str, listed: str | None) -> list[float]:
    try:
        found = [] if listed is None else [float(word) for word in listed.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise UsageError(f"{option} takes numbers such as 0.7,1, got {listed!r}")
    return found


def generated_rows(
    infiller: Infiller,
    data: Sequence[Path],
    rows: Sequence[SamplerOptions | None],
    task: GenerationTask,
    scorer: str | None,
    **options: Any,
) -> list[GenerationRow]:
    """`evaluate_generation` with the scorer of this name."""
    from textdiff.evaluation import Scorer, evaluate_generation

    found = None if scorer is None else Scorer.load(scorer, infiller.model.device)
    return evaluate_generation(infiller, data, rows, task, scorer=found, **options)


def generation_table(rows: Sequence[GenerationRow]) -> str:
    """A line for each way of drawing, under that of the held-out text."""
    known = {score.name for row in rows for score in row.scores}
    names = [name for name in _COLUMNS if name in known]
    cells = [["texts", *(_COLUMNS[name] for name in names)]]
    for row in rows:
        found = {score.name: score for score in row.scores}
        cells.append([_label(row.options), *(_cell(found.get(name)) for name in names)])
    return f"{aligned(cells)}\n{len(rows[0].texts)} texts a line. {_LEGEND}"


def plain_generation(rows: Sequence[GenerationRow]) -> list[dict[str, Any]]:
    """All texts and scores as JSON takes them."""
    return [
        {"options": _given(row.options), "texts": [*row.texts], "scores": [score.plain() for score in row.scores]}
        for row in rows
    ]


def _given(options: SamplerOptions | None) -> dict[str, Any] | None:
    if options is None:
        return None
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {key: value for key, value in values.items() if value not in (None, ())}


def _label(options: SamplerOptions | None) -> str:
    given = _given(options)
    if given is None:
        return "held-out text"
    parts = [str(value) if key == "sampler" else f"{_SAID.get(key, key)} {value:g}" for key, value in given.items()]
    return ", ".join(parts) or "own sampler"


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    if score.name == "generative_perplexity" and score.interval is not None:
        low, high = score.interval
        return f"{score.value:.3g} [{low:.3g}, {high:.3g}]"
    return cell(score)
