"""The standard error of any figure that is made from independent cases, most often from sums over them."""

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
    """
    total = parts.sum(0)
    if len(parts) < 2:
        return figure(total), math.inf
    return figure(total), jackknife_error(np.array([figure(total - part) for part in parts]))


def jackknife_error(without: Parts) -> float:
    """The standard error of a figure from its values [cases], each with one case left out; infinite for less than two.

    In the mean it is not too small for any figure (of one case less) to which the order of the cases does not matter.

    Source: Efron and Stein 1981, "The jackknife estimate of variance", equation 1.4.
    """
    count = len(without)
    if count < 2:
        return math.inf
    spread = float(((without - without.mean()) ** 2).sum())
    return math.sqrt(spread * (count - 1) / count) if math.isfinite(spread) else math.inf


def ratio(total: Parts) -> float:
    """The first sum over the second."""
    return float(total[0] / total[1]) if total[1] else math.nan
