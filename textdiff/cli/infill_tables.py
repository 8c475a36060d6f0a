"""An infilling report as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.evaluation.infilling import InfillReport
    from textdiff.metrics import Score

Table = tuple[str, list[list[str]]]

COLUMNS = {
    "exact_match": "exact",
    "token_accuracy": "token acc",
    "bleu": "BLEU",
    "chrf": "chrF",
    "words_error": "word error",
    "words_bias": "word bias",
    "tokens_error": "token error",
    "tokens_bias": "token bias",
    "bits_per_byte": "bits/byte",
    "fill_nelbo": "fill nats",
    "calibration_error": "ECE",
    "brier_score": "Brier",
    "calls": "calls",
}
BY_WORDS = ("exact_match", "chrf", "words_error", "bits_per_byte")
_NAMES = {
    "given": "given gaps",
    "word": "one word",
    "words": "several words",
    "sentence": "a sentence",
    "several": "several gaps",
}


def report_tables(report: InfillReport) -> Iterator[Table]:
    """Title and cells of each table, the header first: all figures by method, figures by number of words, contrasts."""
    for kind in dict.fromkeys(row.kind for row in report.rows):
        yield _figures(report, kind)
        for name in BY_WORDS:
            table = _by_words(report, kind, name)
            if len(table[1]) > 1 and len(table[1][0]) > 1:
                yield table
        if any(contrast.kind == kind for contrast in report.contrasts):
            yield _contrasts(report, kind)


def printed(report: InfillReport) -> str:
    """All tables as text, and what the columns mean."""
    tables = (f"{title}\n{aligned(cells)}\n" for title, cells in report_tables(report))
    return "".join(tables) + _LEGEND


def plain(report: InfillReport) -> dict[str, Any]:
    """All scores as JSON takes them."""
    rows = [
        {"kind": row.kind, "words": row.words, "way": str(row.way), "scores": [score.plain() for score in row.scores]}
        for row in report.rows
    ]
    contrasts = [
        {"kind": c.kind, "first": str(c.first), "second": str(c.second), "scores": [s.plain() for s in c.scores]}
        for c in report.contrasts
    ]
    return {"rows": rows, "contrasts": contrasts}


_LEGEND = """exact, token acc: share of the gaps, of the tokens, that are as in the original. word error, word bias: the mean
size of the error in length, and the mean error. bits/byte: infilling NELBO of the original, its number of tokens given.
Signatures are in --json.
"""


def _figures(report: InfillReport, kind: str) -> Table:
    rows = [row for row in report.rows if row.kind == kind and row.words is None]
    present = [name for name in COLUMNS if any(score.name == name for row in rows for score in row.scores)]
    cells = [["", *(COLUMNS[name] for name in present)]]
    cells += [[str(row.way), *_values(row.scores, present)] for row in rows]
    count = next((score.n for row in rows for score in row.scores if score.name == "exact_match"), 0)
    return f"{_NAMES[kind]}: {count} gaps", cells


def _by_words(report: InfillReport, kind: str, name: str) -> Table:
    rows = [row for row in report.rows if row.kind == kind and row.words is not None]
    lengths = sorted({row.words or 0 for row in rows})
    found = {(str(row.way), row.words): score for row in rows for score in row.scores if score.name == name}
    ways = dict.fromkeys(way for way, _ in found)
    cells = [["words", *map(str, lengths)]]
    cells += [[way, *(_plain(found.get((way, words))) for words in lengths)] for way in ways]
    return f"{_NAMES[kind]}: {COLUMNS[name]} by number of words", cells


def _contrasts(report: InfillReport, kind: str) -> Table:
    contrasts = [contrast for contrast in report.contrasts if contrast.kind == kind]
    present = [name for name in COLUMNS if any(score.name == name for c in contrasts for score in c.scores)]
    cells = [["", *(COLUMNS[name] for name in present)]]
    cells += [[f"minus {contrast.second}", *_values(contrast.scores, present)] for contrast in contrasts]
    return f"{_NAMES[kind]}: {contrasts[0].first} minus others, same cases", cells


def _values(scores: Sequence[Score], names: Sequence[str]) -> list[str]:
    found = {score.name: score for score in scores}
    return [cell(found[name]) if name in found else "" for name in names]


def cell(score: Score) -> str:
    """A value with two digits of its error, or as many as its unit gives sense to."""
    error = score.standard_error
    if not math.isfinite(score.value):
        return "unknown"
    if error is None or not math.isfinite(error):
        return f"{score.value:.3f}"
    if error == 0:
        return f"{score.value:.3g}"
    decimals = min(max(0, 1 - math.floor(math.log10(error))), 3)
    return f"{score.value:.{decimals}f} ± {error:.{decimals}f}"


def _plain(score: Score | None) -> str:
    return "" if score is None or not math.isfinite(score.value) else f"{score.value:.3g}"
