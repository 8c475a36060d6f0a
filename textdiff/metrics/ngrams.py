"""Entropies of a text under its own n-gram counts: what a model must beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from textdiff.metrics.jackknife import Parts

Ids = npt.NDArray[np.integer]


def unigram_entropy(*runs: Ids) -> float:
    """Entropy of a token, nats, of some runs of ids [N]."""
    return _entropy(np.concatenate(runs))


def entropy_parts(runs: Iterable[Ids]) -> Parts:
    """[N, 2]: the entropy of each run by its own counts, nats a token, and 1; their ratio is the mean over runs.

    A run of N tokens has log N at most: only of equally long ones are values to be compared. An empty one has 0.

    Source: Zheng et al. 2024, arXiv 2409.02908 (the sentence entropy of generated text).
    """
    return np.array([(unigram_entropy(run) if len(run) else 0.0, 1.0) for run in runs]).reshape(-1, 2)


def bigram_entropy(*runs: Ids) -> float:
    """Entropy of a token given the one before it in its run, nats: H(pair) - H(first)."""
    wide = [run.astype(np.int64) for run in runs if len(run) > 1]
    if not wide:
        return 0.0
    base = max(int(run.max()) for run in wide) + 1
    pairs = np.concatenate([run[:-1] * base + run[1:] for run in wide])
    return _entropy(pairs) - _entropy(np.concatenate([run[:-1] for run in wide]))


def _entropy(symbols: Ids) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())
