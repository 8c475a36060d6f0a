"""Two reports compared: which differences exceed the noise of both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from textdiff.errors import DataError
from textdiff.evaluation.benchmark.comparable import objection
from textdiff.evaluation.benchmark.metric import BenchmarkMetric
from textdiff.evaluation.benchmark.report import Report
from textdiff.metrics import Score
from textdiff.registry import member

LEVEL = 0.05
"""How probable it is at most that any difference at all is said to exceed noise where there is none."""


@dataclass(frozen=True)
class Place:
    """Where a figure stands in a report: its text, metric, sampler and so on, and the score's name."""

    model: str
    data: str
    metric: str
    setting: str
    group: str
    way: str
    name: str


@dataclass(frozen=True)
class Difference:
    """How two reports differ in a score.

    Attributes:
        place: of the score.
        first, second: the scores.
        value: second minus first.
        standard_error: of the value, with the errors of the two taken as independent; None where both are exact.
        exceeds: whether it exceeds noise; None where the noise is not known.
    """

    place: Place
    first: Score
    second: Score
    value: float
    standard_error: float | None
    exceeds: bool | None = None

    @property
    def chance(self) -> float:
        """How probable a difference of this size or more is by noise alone; NaN where the noise is not known."""
        if self.standard_error is None:
            return float(self.value == 0)
        if not (math.isfinite(self.standard_error) and self.standard_error > 0 and math.isfinite(self.value)):
            return math.nan
        return math.erfc(abs(self.value) / self.standard_error / math.sqrt(2))


@dataclass(frozen=True)
class Comparison:
    """What two reports have in common.

    Attributes:
        differences: of all scores that can be compared.
        refused: scores that cannot be, and why.
        alone: how many scores only the first, and only the second report has.
    """

    differences: tuple[Difference, ...]
    refused: tuple[tuple[Place, str], ...]
    alone: tuple[int, int]


def compare(first: Report, second: Report) -> Comparison:
    """Compares the scores of both reports that their tables show. Values along an axis are left out: they are parts of others.

    Cells are matched by the names that the suites give; where each report has one model, these are compared whatever they
    are called.

    Raises:
        DataError: nothing can be compared; the sentence says why.
    """
    single = len(first.models) == len(second.models) == 1
    one, other = dict(_scores(first, single)), dict(_scores(second, single))
    refused: list[tuple[Place, str]] = []
    found: list[Difference] = []
    for place in (place for place in one if place in other):
        reason = objection(one[place], other[place])
        if reason is None:
            found.append(_difference(place, one[place], other[place]))
        else:
            refused.append((place, reason))
    if not found:
        why = refused[0][1] if refused else "they have no text, metric and sampler of the same names in common"
        raise DataError(f"nothing in these reports can be compared: {why}")
    return Comparison(tuple(judged(found)), tuple(refused), (len(one.keys() - other), len(other.keys() - one)))


def judged(differences: Sequence[Difference]) -> list[Difference]:
    """Says of each difference whether it exceeds noise, such that with probability 1 - `LEVEL` none is said to that does not.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", section 3.
    """
    known = [i for i, difference in enumerate(differences) if not math.isnan(difference.chance)]
    verdicts: dict[int, bool] = {}
    above = True
    for done, i in enumerate(sorted(known, key=lambda i: differences[i].chance)):
        above = above and differences[i].chance <= LEVEL / (len(known) - done)
        verdicts[i] = above
    return [replace(difference, exceeds=verdicts.get(i)) for i, difference in enumerate(differences)]


def _scores(report: Report, single: bool) -> Iterator[tuple[Place, Score]]:
    for cell in report.cells:
        shown = member(BenchmarkMetric, cell.kind).columns
        for figure in cell.figures:
            if not figure.axis and (not shown or figure.score.name in shown):
                model = "" if single else cell.model
                names = (cell.data, cell.metric, cell.setting, figure.group, figure.way, figure.score.name)
                yield Place(model, *names), figure.score


def _difference(place: Place, first: Score, second: Score) -> Difference:
    errors = [score.standard_error for score in (first, second)]
    error = None if errors == [None, None] else math.hypot(*(each or 0.0 for each in errors))
    return Difference(place, first, second, second.value - first.value, error)
