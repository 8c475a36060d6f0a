"""Self-BLEU as a metric of `evaluate`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textdiff.metrics.modules.base import TextMetric, result
from textdiff.metrics.self_bleu import self_bleu


class SelfBleu(TextMetric):
    """The mean BLEU of each text with all the others for references, 0 to 100, by sacrebleu. Its error is not known.

    Only of equally many texts are values to be compared. The work grows with the square of their number.
    """

    inputs = "predictions are texts, two at least."

    def _compute(self, predictions: Sequence[str], references: Sequence[str] | None = None) -> dict[str, float]:
        return result("self_bleu", self_bleu(predictions)[0], math.inf)
