"""From a model's own probabilities to confidences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdiff.errors import ConfigError
from textdiff.infiller import Calibration
from textdiff.infiller.calibration import logit

LOG_P = st.floats(-200, 0)


def gaps_of(line: Calibration, count: int, seed: int) -> tuple[list[float], list[bool]]:
    """Log-probabilities, and whether such gaps are right if the line is true."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 2, count)
    log_p = [-math.log1p(math.exp(-value)) for value in x]
    return log_p, [bool(u < line.confidence(value)) for u, value in zip(generator.random(count), log_p, strict=True)]


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7), (0.2, 1.5)])
def test_a_line_that_is_known_is_found(slope: float, intercept: float) -> None:
    """Within four standard errors of the estimate for 4,000 gaps, and the small pull towards slope 1."""
    truth = Calibration(slope, intercept)
    log_p, right = gaps_of(truth, 4_000, seed=1)
    found = Calibration.fit(log_p, right)
    x = np.array([logit(value) for value in log_p])
    p = np.array([truth.confidence(value) for value in log_p])
    features = np.stack([np.ones_like(x), x], 1)
    errors = np.sqrt(np.diag(np.linalg.inv((features * (p * (1 - p))[:, None]).T @ features)))
    assert abs(found.intercept - intercept) < 4 * errors[0] + 0.01
    assert abs(found.slope - slope) < 4 * errors[1] + 0.01
    assert found.gaps == 4_000


def test_a_fitted_calibration_makes_confidences_true() -> None:
    """Of new gaps with a confidence around c, c are right."""
    truth = Calibration(0.4, -0.8)
    line = Calibration.fit(*gaps_of(truth, 4_000, seed=2))
    log_p, right = gaps_of(truth, 20_000, seed=3)
    confidence, hits = np.array([line.confidence(value) for value in log_p]), np.array(right)
    for low in np.arange(0.1, 0.8, 0.1):
        inside = (confidence >= low) & (confidence < low + 0.1)
        if inside.sum() > 200:
            assert hits[inside].mean() == pytest.approx(confidence[inside].mean(), abs=0.05)
    raw = np.exp(log_p)
    assert abs(raw.mean() - hits.mean()) > 0.1, "the model's own probabilities were wrong, or this shows nothing"


def test_the_fit_is_the_most_likely_line() -> None:
    """A grid around it finds nothing better."""
    log_p, right = gaps_of(Calibration(0.7, 0.4), 60, seed=4)
    found = Calibration.fit(log_p, right)

    def badness(slope: float, intercept: float) -> float:
        line = Calibration(slope, intercept)
        odds = [line.confidence(value) for value in log_p]
        nats = -sum(math.log(p if hit else 1 - p) for p, hit in zip(odds, right, strict=True))
        return nats + 0.05 * intercept**2 + 0.5 * (slope - 1) ** 2

    best = badness(found.slope, found.intercept)
    for a in (-0.05, 0, 0.05):
        for b in (-0.05, 0, 0.05):
            assert badness(found.slope + a, found.intercept + b) >= best - 1e-9


@given(st.lists(st.tuples(LOG_P, st.booleans()), max_size=12), LOG_P, LOG_P)
def test_any_fit_keeps_the_order_and_stays_a_probability(
    gaps: list[tuple[float, bool]], one: float, other: float
) -> None:
    line = Calibration.fit([value for value, _ in gaps], [hit for _, hit in gaps])
    low, high = sorted([one, other])
    assert 0 <= line.confidence(low) <= line.confidence(high) <= 1
    assert line.gaps == len(gaps) and line.slope > 0


@pytest.mark.parametrize("count", [0, 1, 3, 500])
@pytest.mark.parametrize("all_right", [True, False])
def test_few_gaps_or_all_alike_do_no_harm(count: int, all_right: bool) -> None:
    """The line moves towards what was seen, and no further than that many gaps can tell."""
    log_p, _ = gaps_of(Calibration(), count, seed=5)
    line = Calibration.fit(log_p, [all_right] * count)
    for value in (-20.0, -1.0, -0.01):
        before, after = math.exp(value), line.confidence(value)
        assert 0 < after < 1
        if count == 0:
            assert after == pytest.approx(before)
    if count <= 3:
        assert 0.3 < line.slope < 1.5 and abs(line.intercept) < 3.5
    middle = line.confidence(math.log(0.5))
    assert middle == pytest.approx(0.5) if count == 0 else (middle > 0.5) == all_right


def test_without_a_fit_a_confidence_is_the_models_own_probability() -> None:
    for p in (1e-9, 0.01, 0.5, 0.99):
        assert Calibration().confidence(math.log(p)) == pytest.approx(p)
    assert Calibration().confidence(0.0) == pytest.approx(1)
    assert Calibration().confidence(-1e9) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(0.0, 0.0), (-1.0, 0.0), (math.inf, 0.0), (math.nan, 0.0), (1.0, math.nan)]
)
def test_what_is_no_line_is_refused(slope: float, intercept: float) -> None:
    with pytest.raises(ConfigError, match="slope must be above 0"):
        Calibration(slope, intercept)
