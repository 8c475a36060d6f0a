"""How many different n-grams some texts have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from textdiff.metrics.grams import grams
from textdiff.metrics.jackknife import jackknife_error


def distinct(texts: Sequence[Sequence[str]], n: int) -> tuple[float, float]:
    """Distinct-n: the share of the n-grams of all texts together that are different, 0 to 1, and its standard error.

    It falls with the number and the length of the texts: only of equally many and equally long ones are values to be compared.

    Args:
        texts: the words of each.
        n: words of an n-gram.

    Returns:
        The share, NaN where there is no n-gram; and the error, of another draw of texts (a text left out at a time).

    Source: Li et al. 2016, arXiv 1510.03055 (there over the number of words; here, as is usual, of n-grams).
    """
    found = [Counter(grams(words, n)) for words in texts]
    holders = Counter(gram for text in found for gram in text)
    total, different = sum(text.total() for text in found), len(holders)
    if not total:
        return math.nan, math.inf
    without = [(different - sum(holders[gram] == 1 for gram in text)) / max(1, total - text.total()) for text in found]
    return different / total, jackknife_error(np.array(without))
