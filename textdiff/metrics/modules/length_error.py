"""The error in length of fills as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textdiff.metrics.lengths import length_excess
from textdiff.metrics.modules.base import ONE_OR_SEVERAL, TextMetric, of_parts


class LengthError(TextMetric):
    """By how many words, parted by blanks, texts are too long or too short in the mean, against the reference that is nearest.

    Beside `length_error`, the mean size of the error, stands `length_bias`, the mean error: above 0 where texts are too long.
    """

    inputs = "predictions are texts, references what they should be: a text each, or a list of texts that will do."
    features_of = ONE_OR_SEVERAL

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str | Sequence[str]] | None = None
    ) -> dict[str, float]:
        excess = []
        for text, given in zip(predictions, references or (), strict=True):
            sizes = [len(other.split()) for other in ([given] if isinstance(given, str) else given)]
            excess.append((length_excess(len(text.split()), sizes), 1))
        parts = np.array(excess, dtype=np.float64)
        return of_parts("length_error", abs(parts)) | of_parts("length_bias", parts)
