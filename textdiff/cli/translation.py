"""BLEU, chrF and network calls as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textdiff.cli.infill_tables import cell
from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.evaluation import TranslationRow

_COLUMNS = {"bleu": "BLEU", "chrf": "chrF", "network_calls": "network calls", "length_ratio": "words/word"}


def translation_table(rows: Sequence[TranslationRow]) -> str:
    """A line for each number of steps, and below what all of it depends on."""
    cells = [["steps", *_COLUMNS.values(), "pairs"]]
    for row in rows:
        found = {score.name: score for score in row.scores}
        values = [cell(found[name]) for name in _COLUMNS]
        cells.append([str(row.steps or "own"), *values, f"{row.scores[0].n:,}"])
    return aligned(cells) + "".join(f"\n{row.scores[0].signature}\n" for row in rows)


def plain_rows(rows: Sequence[TranslationRow]) -> list[dict[str, Any]]:
    """All scores as JSON takes them."""
    return [{"steps": row.steps, "scores": [score.plain() for score in row.scores]} for row in rows]
