"""The laws of every registered schedule, under hypothesis."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textdiff.errors import ConfigError
from textdiff.registry import build, names
from textdiff.schedules import Schedule

OPTIONS = {
    "polynomial": [{"power": 0.5}, {"power": 1.0}, {"power": 3.0}],
    "polynomial_beta": [{"power": 0.0}, {"power": 2.0, "beta_max": 50.0}],
    "geometric": [{"sigma_min": 1e-4, "sigma_max": 30.0}],
    "linear_beta": [{"beta_min": 0.0, "beta_max": 1.0}, {"beta_min": 5.0, "beta_max": 5.0}],
}
CONFIGS = [{"name": name, **options} for name in names(Schedule) for options in [{}, *OPTIONS.get(name, [])]]
TIMES = st.floats(1e-3, 1 - 1e-3)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(params=CONFIGS, ids=str)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return build(Schedule, request.param)


def test_all_are_here() -> None:
    assert set(names(Schedule)) >= {"linear", "cosine", "polynomial", "polynomial_beta", "geometric", "linear_beta"}


def test_ends(schedule: Schedule) -> None:
    assert schedule.alpha(tensor(0.0, 1.0)).tolist() == [1.0, 0.0]
    assert torch.allclose(schedule.inverse(tensor(1.0, 0.0)), tensor(0.0, 1.0), atol=1e-7)


def test_falls_strictly(schedule: Schedule) -> None:
    alpha = schedule.alpha(torch.linspace(0, 1, 501, dtype=torch.float64))
    assert (alpha.diff() < 0).all()
    assert ((alpha >= 0) & (alpha <= 1)).all()


@settings(max_examples=40, deadline=None)
@given(t=TIMES)
def test_slope_is_the_derivative(t: float) -> None:
    for config in CONFIGS:
        schedule, time = build(Schedule, config), tensor(t).requires_grad_()
        (slope,) = torch.autograd.grad(schedule.alpha(time).sum(), time)
        assert torch.allclose(schedule.alpha_prime(time), slope, rtol=1e-9, atol=1e-12), config
        step = 1e-6
        chord = (schedule.alpha(time + step) - schedule.alpha(time - step)) / (2 * step)
        assert torch.allclose(schedule.alpha_prime(time), chord, rtol=1e-3, atol=1e-8), config


@settings(max_examples=40, deadline=None)
@given(t=TIMES)
def test_inverse(t: float) -> None:
    for config in CONFIGS:
        schedule, time = build(Schedule, config), tensor(t)
        alpha = schedule.alpha(time)
        there = schedule.inverse(alpha)
        # alpha carries an error of its own size's rounding; the slope says what that means in time.
        slack = 1e-12 + 4e-16 / schedule.alpha_prime(time).abs()
        assert ((there - time).abs() <= slack).all(), config
        assert torch.allclose(schedule.alpha(there), alpha, rtol=1e-9, atol=1e-12), config


def test_shape_and_dtype(schedule: Schedule) -> None:
    t = torch.rand(3, 1, 2, dtype=torch.float64)
    for value in (schedule.alpha(t), schedule.alpha_prime(t), schedule.inverse(t)):
        assert value.shape == t.shape
        assert value.dtype == torch.float64
        assert value.isfinite().all()


def test_discrete_rates_multiply_up_to_alpha(schedule: Schedule) -> None:
    steps, survived = 10, 1.0
    for step in range(1, steps + 1):
        beta = schedule.beta(step, steps)
        assert 0 < beta <= 1
        survived *= 1 - beta
        assert survived == pytest.approx(float(schedule.alpha(tensor(step / steps))), abs=1e-12)


def test_known_values() -> None:
    at = tensor(0.25)
    assert float(build(Schedule, "linear").alpha(at)) == 0.75
    assert float(build(Schedule, "cosine").alpha(at)) == pytest.approx(0.8535533905932737)
    assert float(build(Schedule, {"name": "polynomial", "power": 2}).alpha(at)) == pytest.approx(0.9375)


def test_linear_beta_is_the_limit_of_ddpm() -> None:
    """The product over DDPM's thousand steps, before the rescaling, which moves it by exp(-10.05) at most."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    product = (1 - beta).cumprod(0)[[99, 499, 899]]
    assert torch.allclose(build(Schedule, "linear_beta").alpha(tensor(0.1, 0.5, 0.9)), product, atol=1e-3)


def test_polynomial_beta_is_the_limit_of_its_steps() -> None:
    steps = 2000
    beta = (torch.arange(1, steps + 1, dtype=torch.float64) / steps) ** 2
    alpha = build(Schedule, {"name": "polynomial_beta", "power": 2.0, "beta_max": steps}).alpha(tensor(0.05, 0.1, 0.15))
    assert torch.allclose(alpha, (1 - beta).cumprod(0)[[99, 199, 299]], atol=0.02)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "polynomial", "power": 0.0},
        {"name": "polynomial_beta", "power": -1.0},
        {"name": "polynomial_beta", "beta_max": 0.0},
        {"name": "geometric", "sigma_min": 2.0, "sigma_max": 1.0},
        {"name": "linear_beta", "beta_min": 3.0, "beta_max": 2.0},
        {"name": "polynomial", "power": float("nan")},
    ],
    ids=str,
)
def test_impossible_options_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="got"):
        build(Schedule, config)
