"""The standard error of any figure that is made from sums over independent cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Parts = npt.NDArray[np.float64]
Figure = Callable[[Parts], float]


def jackknife(parts: Parts, figure: Figure) -> tuple[float, float]:
    """A figure of all cases, and its standard error with one case left out at a time.

    Args:
        parts: [cases, S], what each case adds to the S sums that the figure is made of.
        figure: from the sums [S] to the value; smooth, as ratios, BLEU and chrF are.

    Returns:
        The value, and its standard error: infinite where there are less than two cases.

    Source: Efron and Stein 1981, "The jackknife estimate of variance", equation 1.4.
    """
    total = parts.sum(0)
    count = len(parts)
    if count < 2:
        return figure(total), math.inf
    without = np.array([figure(total - part) for part in parts])
    spread = float(((without - without.mean()) ** 2).sum())
    return figure(total), math.sqrt(spread * (count - 1) / count) if math.isfinite(spread) else math.inf


def ratio(total: Parts) -> float:
    """The first sum over the second."""
    return float(total[0] / total[1]) if total[1] else math.nan
