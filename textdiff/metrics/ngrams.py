"""Entropies of a text under its own n-gram counts: what a model must beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unigram_entropy(ids: npt.NDArray[np.integer]) -> float:
    """Entropy of a token, nats."""
    return _entropy(ids)


def bigram_entropy(ids: npt.NDArray[np.integer]) -> float:
    """Entropy of a token given the one before it, nats: H(pair) - H(first)."""
    if len(ids) < 2:
        return 0.0
    wide = ids.astype(np.int64)
    pairs = wide[:-1] * (wide.max() + 1) + wide[1:]
    return _entropy(pairs) - _entropy(wide[:-1])


def _entropy(symbols: npt.NDArray[np.integer]) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())
