"""The unigram entropy of texts as a metric of `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textdiff.metrics.modules.base import TextMetric, of_parts
from textdiff.metrics.ngrams import entropy_parts


class UnigramEntropy(TextMetric):
    """The entropy of the words of a text by their own counts in it, nats, the mean over texts. Words are what blanks part.

    A text of N words has log N at most: only of equally long texts are values to be compared.
    """

    inputs = "predictions are texts."

    def _compute(self, predictions: Sequence[str], references: Sequence[str] | None = None) -> dict[str, float]:
        runs = [np.unique(np.array(text.split(), dtype=str), return_inverse=True)[1] for text in predictions]
        return of_parts("unigram_entropy", entropy_parts(runs))
