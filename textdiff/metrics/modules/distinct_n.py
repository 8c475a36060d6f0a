"""Distinct-n as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

from textdiff.metrics.distinct import distinct
from textdiff.metrics.modules.base import GramMetric, result


class DistinctN(GramMetric):
    """The share of the n-grams of words of all texts together that are different. Option: n (2).

    Only of equally many and equally long texts are values to be compared.
    """

    inputs = "predictions are texts."
    most_usual = 2

    def _compute(self, predictions: Sequence[str], references: Sequence[str] | None = None) -> dict[str, float]:
        return result(f"distinct_{self.n}", *distinct([text.split() for text in predictions], self.n))
