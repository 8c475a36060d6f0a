"""Perplexity a word as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textdiff.metrics.modules.base import COSTS, COSTS_ARE, TextMetric, result
from textdiff.metrics.perplexity import perplexity


class PerplexityPerWord(TextMetric):
    """exp of all nats over all words, which blanks part. Models with any tokens can be compared."""

    inputs = COSTS_ARE
    features_of = COSTS

    def _compute(self, predictions: Sequence[float], references: Sequence[str] | None = None) -> dict[str, float]:
        pairs = zip(predictions, references or (), strict=True)
        parts = np.array([(nats, len(text.split())) for nats, text in pairs], dtype=np.float64)
        return result("perplexity_per_word", *perplexity(parts))
