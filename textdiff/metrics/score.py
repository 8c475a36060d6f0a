"""A number that can be cited."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from textdiff.metrics.student import NORMAL, student_margin


@dataclass(frozen=True)
class Score:
    """A measured value.

    Attributes:
        name: what was measured.
        value: the number.
        unit: of the value.
        n: how many of what the metric counts (tokens, bytes, words) went in.
        standard_error: of the value; None where it is exact, or like infinity and NaN where it is not known.
        signature: all that the value depends on, as "key:value" pairs joined by "|".
        degrees_of_freedom: of the standard error, or None where it was not counted.
    """

    name: str
    value: float
    unit: str
    n: int
    standard_error: float | None
    signature: str
    degrees_of_freedom: float | None = None

    def plain(self) -> dict[str, Any]:
        """The fields as JSON takes them: a number that is not finite, such as the error of a single window, is None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in vars(self).items()}

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval, where there is one; of a perplexity on the log scale.

        By Student's t where the degrees of freedom are known, else by the normal approximation.
        """
        if self.standard_error is None or not math.isfinite(self.standard_error):
            return None
        degrees = self.degrees_of_freedom
        margin = (NORMAL if degrees is None else student_margin(max(1.0, degrees))) * self.standard_error
        if self.unit.startswith("perplexity") and self.value > 0:
            factor = math.exp(min(margin / self.value, 700))
            return (self.value / factor, self.value * factor)
        return (self.value - margin, self.value + margin)


_LIKELIHOODS = ("nelbo", "exact_nll", "order_bound", "decoder")
ONE_WINDOW = "One window was scored; an interval needs more text."


def of_one_window(scores: Iterable[Score]) -> bool:
    """Whether a likelihood among the scores has no standard error, as that of a single window."""
    errors = [score.standard_error for score in scores if score.name.startswith(_LIKELIHOODS)]
    return any(error is None or not math.isfinite(error) for error in errors)


def signature(parts: Mapping[str, object]) -> str:
    """A signature from its parts, in their order."""
    return "|".join(f"{key}:{value}" for key, value in parts.items())
