"""How much a text repeats itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from textdiff.metrics.grams import grams
from textdiff.metrics.jackknife import Parts


def repetition_parts(texts: Iterable[Sequence[str]], n: int = 4) -> Parts:
    """[N, 2]: how many of a text's n-grams stood in it before, and how many it has. Their ratio is the repetition, 0 to 1.

    Args:
        texts: the words of each.
        n: words of an n-gram.

    Source: Welleck et al. 2019, arXiv 1908.04319 (seq-rep-n, there of each text, here of all n-grams).
    """
    rows = []
    for words in texts:
        found = [*grams(words, n)]
        rows.append((len(found) - len({*found}), len(found)))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
