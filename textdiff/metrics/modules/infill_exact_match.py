"""Exact match of fills as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textdiff.metrics.modules.base import ONE_OR_SEVERAL, TextMetric, of_parts


class InfillExactMatch(TextMetric):
    """The share of fills that are, character by character, what may stand in their gap."""

    inputs = (
        "predictions are what was written in each gap, references what stood there: a text, or several that will do."
    )
    features_of = ONE_OR_SEVERAL

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str | Sequence[str]] | None = None
    ) -> dict[str, float]:
        pairs = zip(predictions, references or (), strict=True)
        hits = [(text == given if isinstance(given, str) else text in given, 1) for text, given in pairs]
        return of_parts("infill_exact_match", np.array(hits, dtype=np.float64))
