"""Whether stated confidences are the frequencies with which one is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textdiff.metrics.jackknife import Parts

BINS = 10


def calibration_parts(confidences: Sequence[float], hits: Sequence[bool]) -> Parts:
    """[N, 3 * BINS]: count, confidence and hits of each answer, in its bin of ten of equal width."""
    parts = np.zeros((len(confidences), 3, BINS))
    for row, (confidence, hit) in enumerate(zip(confidences, hits, strict=True)):
        parts[row, :, min(int(confidence * BINS), BINS - 1)] = 1, confidence, hit
    return parts.reshape(len(confidences), 3 * BINS)


def calibration_error(total: Parts) -> float:
    """The expected calibration error: the mean over answers of |mean confidence - share of hits| of their bin.

    Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    count, confidence, hits = total.reshape(3, BINS)
    return float(np.abs(confidence - hits).sum() / count.sum())


def brier_parts(confidences: Sequence[float], hits: Sequence[bool]) -> Parts:
    """[N, 2]: the squared difference of confidence and hit, and 1; their ratio is the Brier score."""
    return np.array([((c - hit) ** 2, 1.0) for c, hit in zip(confidences, hits, strict=True)]).reshape(-1, 2)
