"""Bits a byte as a metric of `evaluate`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from textdiff.metrics.modules.base import COSTS, COSTS_ARE, TextMetric, of_parts


class BitsPerByte(TextMetric):
    """What texts cost, in bits a byte of UTF-8: all bits over all bytes. Models with any tokens can be compared."""

    inputs = COSTS_ARE
    features_of = COSTS

    def _compute(self, predictions: Sequence[float], references: Sequence[str] | None = None) -> dict[str, float]:
        pairs = zip(predictions, references or (), strict=True)
        parts = np.array([(nats / math.log(2), len(text.encode())) for nats, text in pairs], dtype=np.float64)
        return of_parts("bits_per_byte", parts)
