"""Long rows of numbers made fit to be drawn."""

from __future__ import annotations

import math
from typing import NamedTuple

_MOST = 2_000
"""Points of a line: more than that many are no more to be seen, and take long to draw."""
_SPAN_SHARE = 0.05


class Line(NamedTuple):
    """Values by rising steps."""

    steps: list[int]
    values: list[float]


def running_mean(line: Line) -> tuple[Line, int]:
    """The mean of the values around each, those left out that are not finite, and over how many it goes."""
    steps, values = line
    kept = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    span = max(1, round(len(kept) * _SPAN_SHARE)) | 1  # odd: as many before as after
    sums = [0.0]
    for _, value in kept:
        sums.append(sums[-1] + value)
    half, means = span // 2, []
    for i in range(len(kept)):
        first, stop = max(0, i - half), min(len(kept), i + half + 1)  # at the ends there are fewer
        means.append((sums[stop] - sums[first]) / (stop - first))
    return Line([step for step, _ in kept], means), span


def thinned(line: Line) -> Line:
    """At most `_MOST` of the points, evenly chosen, the last one among them."""
    count = len(line.steps)
    if count <= _MOST:
        return line
    chosen = [round(i * (count - 1) / (_MOST - 1)) for i in range(_MOST)]
    return Line([line.steps[i] for i in chosen], [line.values[i] for i in chosen])
