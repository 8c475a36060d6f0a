"""From the probability that a model gives its own text to the probability that it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textdiff.errors import ConfigError


@dataclass(frozen=True)
class Calibration:
    """A straight line in the odds: logit(confidence) = intercept + slope * logit(p).

    Attributes:
        slope: above 0, so that the order of the model's own probabilities stays.
        intercept: finite.
        gaps: how many gaps it was fitted on; 0 for the model's own probabilities as they are.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".
    """

    slope: float = 1.0
    intercept: float = 0.0
    gaps: int = 0

    def __post_init__(self) -> None:
        if not (self.slope > 0 and math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ConfigError(f"slope must be above 0 and both finite, got {self.slope} and {self.intercept}")

    def confidence(self, log_p: float) -> float:
        """The confidence for a log-probability, nats."""
        return 1 / (1 + math.exp(-min(max(self.intercept + self.slope * logit(log_p), -700.0), 700.0)))

    @staticmethod
    def fit(log_p: Sequence[float], right: Sequence[bool]) -> Calibration:
        """The most likely line for some gaps, slightly held towards slope 1 (for few gaps, or all of them right or wrong)."""
        x = np.array([logit(value) for value in log_p])
        y = np.array(right, dtype=np.float64)
        line = np.array([0.0, 1.0])
        features = np.stack([np.ones_like(x), x], 1)
        prior, pull = np.array([0.0, 1.0]), np.diag([0.1, 1.0])
        for _ in range(100):
            p = 1 / (1 + np.exp(-np.clip(features @ line, -500, 500)))
            gradient = features.T @ (y - p) - pull @ (line - prior)
            hessian = (features * (p * (1 - p))[:, None]).T @ features + pull
            step = np.linalg.solve(hessian, gradient)
            line = line + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
            if np.abs(step).max() < 1e-9:
                break
        return Calibration(max(float(line[1]), 1e-3), float(line[0]), len(y))


def logit(log_p: float) -> float:
    """log(p / (1 - p)), between -30 and 30."""
    if log_p >= -1e-12:
        return 30.0
    return min(max(log_p - math.log(-math.expm1(log_p)), -30.0), 30.0)
