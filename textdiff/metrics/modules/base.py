"""What the metrics of `evaluate` have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate

from textdiff.errors import UsageError
from textdiff.metrics.jackknife import Figure, Parts, jackknife, ratio

TEXT = datasets.Value("string")
COSTS = {"predictions": datasets.Value("float64"), "references": TEXT}
COSTS_ARE = "predictions are what each text costs under a model, nats (exact, or a bound), references the texts."
ONE_OR_SEVERAL = [
    {"predictions": TEXT, "references": datasets.Sequence(TEXT)},
    {"predictions": TEXT, "references": TEXT},
]


class TextMetric(evaluate.Metric, ABC):
    """A metric of texts. What it counts is a pure function of `textdiff.metrics`; this class brings it the texts.

    Results are the value under the metric's name, and under NAME_standard_error its standard error over texts: infinite where
    it is not known.

    Attributes:
        inputs: what predictions and references are, for `evaluate`.
        features_of: their types by name; a list where there are several ways to give them.
    """

    inputs: ClassVar[str]
    features_of: ClassVar[Any] = {"predictions": TEXT}

    def _info(self) -> Any:
        ways = self.features_of if isinstance(self.features_of, list) else [self.features_of]
        features = [datasets.Features(way) for way in ways]
        return evaluate.MetricInfo(
            description=type(self).__doc__ or "",
            citation="",
            inputs_description=f"\n\nHere: {self.inputs}\n",
            features=features if len(features) > 1 else features[0],
        )

    @abstractmethod
    def _compute(self, predictions: Sequence[Any], references: Sequence[Any] | None = None) -> dict[str, Any]:
        """The results."""


class GramMetric(TextMetric):
    """A metric of n-grams of words, parted by blanks; `n` is an option."""

    most_usual: ClassVar[int]

    def __init__(self, *words: Any, n: int | None = None, **options: Any) -> None:
        """Takes `n`, the words of an n-gram, and the options of `evaluate.Metric`."""
        self.n = self.most_usual if n is None else n
        if not isinstance(self.n, int) or self.n < 1:
            raise UsageError(f"n must be a whole number of at least 1, got {n!r}")
        super().__init__(*words, **options)


def result(name: str, value: float, error: float) -> dict[str, float]:
    """A value and its standard error, under names that no other metric's have."""
    return {name: value, f"{name}_standard_error": error}


def of_parts(name: str, parts: Parts, figure: Figure = ratio) -> dict[str, float]:
    """The figure of all texts, from what each adds to its sums."""
    return result(name, *jackknife(parts, figure))
