"""Novelty of texts as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textdiff.corpus import ReadOptions, Unit, read_corpus
from textdiff.metrics.grams import grams
from textdiff.metrics.modules.base import GramMetric, of_parts
from textdiff.metrics.novelty import known_grams, novelty_parts


class Novelty(GramMetric):
    """The share of n-grams of words that do not stand in a reference, such as the text that a model has learned from.

    Options: reference, a file or several (text, or tables with a column of text; they are read as a stream), n (8), unit and
    column as `textdiff.corpus.load_corpus` takes them.
    """

    inputs = "predictions are texts."
    most_usual = 8

    def __init__(
        self,
        *words: Any,
        reference: str | Path | Sequence[str | Path] = (),
        unit: Unit = "file",
        column: str = "text",
        **options: Any,
    ) -> None:
        """Takes the options above, and those of `evaluate.Metric`."""
        self.reference = [reference] if isinstance(reference, (str, Path)) else [*reference]
        self.reading = ReadOptions(unit, column)
        super().__init__(*words, **options)

    def _compute(self, predictions: Sequence[str], references: Sequence[str] | None = None) -> dict[str, float]:
        texts = [text.split() for text in predictions]
        wanted = {gram for words in texts for gram in grams(words, self.n)}
        known = known_grams(wanted, read_corpus(self.reference, self.reading), self.n)
        return of_parts(f"novelty_{self.n}", novelty_parts(texts, known, self.n))
