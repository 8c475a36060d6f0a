"""Perplexity, from what texts cost."""

from __future__ import annotations

import math

from textdiff.metrics.jackknife import Parts, jackknife, ratio


def perplexity(parts: Parts) -> tuple[float, float]:
    """The perplexity of a piece of text, and its standard error.

    Args:
        parts: [N, 2], the nats of each text, and its number of pieces: tokens or words. Texts are the independent units.

    Returns:
        exp(all nats / all pieces), and the standard error of the exponent times it: see `Score.interval`.
    """
    mean, error = jackknife(parts, ratio)
    value = math.exp(min(mean, 700)) if not math.isnan(mean) else math.nan
    return value, value * error
