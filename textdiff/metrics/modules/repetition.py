"""Repetition within texts as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

from textdiff.metrics.modules.base import GramMetric, of_parts
from textdiff.metrics.repetition import repetition_parts


class Repetition(GramMetric):
    """The share of n-grams of words that stood in the same text before. Option: n (4)."""

    inputs = "predictions are texts."
    most_usual = 4

    def _compute(self, predictions: Sequence[str], references: Sequence[str] | None = None) -> dict[str, float]:
        return of_parts(f"repetition_{self.n}", repetition_parts([text.split() for text in predictions], self.n))
