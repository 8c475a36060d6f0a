"""95 % intervals of the NELBO against exact values, for every estimator: they hold them in 95 % of all repetitions."""

from __future__ import annotations

import itertools
import math
from functools import cache

import pytest
import torch
from oracles import VOCABULARY, ToyLanguage, canvas_of, transitions
from scipy import stats
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.metrics import Likelihood, Score, estimate_nelbo
from textdiff.metrics.likelihood import ratio_error, spread_error
from textdiff.metrics.student import student_margin
from textdiff.objectives import (
    BlockForm,
    ChainForm,
    CountForm,
    Estimator,
    HitForm,
    TimeForm,
    estimator_for,
    position_nats,
    spread_levels,
)
from textdiff.processes import (
    AbsorbingProcess,
    AutoregressiveProcess,
    BlockProcess,
    ForwardProcess,
    HybridProcess,
    InterpolatingProcess,
    MatrixProcess,
    UniformProcess,
)
from textdiff.schedules import CosineSchedule

LENGTH, WINDOWS, REPEATS = 3, 60, 4
CHAIN = AutoregressiveProcess(VOCABULARY)
LANGUAGE = ToyLanguage.random(length=LENGTH, seed=2)
FORMS: dict[ForwardProcess, type[Estimator]] = {
    AbsorbingProcess(VOCABULARY): CountForm,
    UniformProcess(VOCABULARY): HitForm,
    HybridProcess(VOCABULARY): HitForm,
    BlockProcess(VOCABULARY, block_size=2): BlockForm,
    CHAIN: ChainForm,
    MatrixProcess(VOCABULARY, CosineSchedule(), steps=8): TimeForm,
}


def label(process: object) -> str:
    return type(process).__name__


def oracle(process: ForwardProcess) -> Denoiser:
    """The exact denoiser of the language, of what a network of the process sees; all rows at once."""
    place, eye = torch.arange(LENGTH), torch.eye(LENGTH, dtype=torch.bool)
    block = place // (1 if process.left_to_right else process.causal_blocks or LENGTH)
    noisy, given = (block[:, None] == block) & ~eye, block[:, None] > block
    one_hot = torch.nn.functional.one_hot(LANGUAGE.sequences, VOCABULARY.size).double()

    def denoise(x_t: Tensor, t: Tensor, canvas: object, where: Tensor) -> Tensor:
        law = laws(process, t.double())[torch.arange(len(x_t))[:, None, None], LANGUAGE.sequences, x_t[:, None]]
        same = (LANGUAGE.sequences == canvas.ids[:, None]).double()  # type: ignore[attr-defined]
        seen = torch.where(noisy, law[:, :, None], torch.where(given, same[:, :, None], 1.0)).prod(-1)
        return torch.einsum("m,bml,mlv->blv", LANGUAGE.probabilities, seen, one_hot).log()[where]

    return denoise


def laws(process: ForwardProcess, t: Tensor) -> Tensor:
    """q(x_t | x_0) at times [B]: [B, V, V]."""
    if isinstance(process, InterpolatingProcess):
        alpha = process.schedule.alpha(t)[:, None, None]
        return alpha * torch.eye(VOCABULARY.size, dtype=torch.float64) + (1 - alpha) * process.nu(t)[:, None]
    assert isinstance(process, MatrixProcess)
    return torch.stack([step_law(process, k) for k in (t * process.steps - 1e-6).ceil().long().tolist()])


@cache
def step_law(process: MatrixProcess, step: int) -> Tensor:
    return transitions(process, 0.0, step / process.steps)


@cache
def exact(process: ForwardProcess) -> float:
    """The bound, nats a token. With an exact denoiser it is the entropy, but for the gap that discrete steps leave."""
    if not isinstance(process, MatrixProcess):
        return LANGUAGE.entropy() / LENGTH
    states = torch.tensor(list(itertools.product(range(2, 6), repeat=LENGTH)))
    many = len(LANGUAGE.sequences)
    where = torch.ones_like(states, dtype=torch.bool)
    ends = process.boundary_nats(LANGUAGE.sequences.flatten()).view(many, LENGTH).sum(-1)
    total = float(LANGUAGE.probabilities @ ends)
    for step in range(1, process.steps + 1):
        t = torch.full((len(states),), step / process.steps, dtype=torch.float64)
        log_p = oracle(process)(states, t, canvas_of(states), where).log_softmax(-1).repeat(many, 1)
        x_0, x_t = LANGUAGE.sequences.repeat_interleave(len(states), 0), states.repeat(many, 1)
        nats = process.nelbo(log_p, x_0.flatten(), x_t.flatten(), t[:1]).view(many, len(states), LENGTH).sum(-1)
        law = LANGUAGE.probabilities[:, None] * LANGUAGE.noisy(process, step / process.steps, states)
        total += float((law * nats).sum()) / process.steps
    return total / LENGTH


def covered(process: ForwardProcess, trials: int, windows: int = WINDOWS, repeats: int = REPEATS) -> float:
    """The share of intervals, each of another text and other noise, that hold the exact value."""
    held = 0
    for trial in range(trials):
        canvas = canvas_of(LANGUAGE.sample(windows, seed=trial), seed=1000 * trial)
        low, high = interval(estimate_nelbo(oracle(process), process, [canvas], repeats, seed=trial))
        held += low < exact(process) < high
    return held / trials


def interval(found: Likelihood) -> tuple[float, float]:
    score = Score("", found.nats_per_token, "nats/token", 1, found.standard_error, "", found.degrees_of_freedom)
    assert score.interval is not None
    return score.interval


@pytest.mark.parametrize(("process", "form"), FORMS.items(), ids=map(label, FORMS))
def test_the_oracle_is_exact(process: ForwardProcess, form: type[Estimator]) -> None:
    """Every estimator is there; and where a network sees all sides, these logits are those of the other oracle."""
    assert type(estimator_for(process)) is form
    if process.both_sides:
        canvas = canvas_of(LANGUAGE.sample(32))
        t = (1 + torch.arange(32).double() % 8) / 8
        x_t = process.sample(canvas.ids, t, Draws.seeded(canvas.seeds))
        found, wanted = (
            denoise(x_t, t, canvas, canvas.free) for denoise in (oracle(process), LANGUAGE.denoiser(process))
        )
        torch.testing.assert_close(found.softmax(-1), wanted.softmax(-1))
    else:  # a likelihood by the chain rule, of blocks of one token
        canvas = canvas_of(LANGUAGE.sequences)
        nats = position_nats(oracle(CHAIN), CHAIN, canvas, spread_levels(0, len(canvas.ids), 1, 0), 0).sum(-1)
        torch.testing.assert_close((-nats).exp(), LANGUAGE.probabilities, rtol=1e-5, atol=1e-9)


@pytest.mark.statistical
@pytest.mark.parametrize("process", FORMS, ids=label)
def test_intervals_hold_the_exact_value(process: ForwardProcess) -> None:
    """150 repetitions: fewer than 133 would be chance below 1e-3 at 95 %."""
    assert stats.binom.cdf(132, 150, 0.95) < 1e-3
    assert covered(process, 150) >= 133 / 150


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("process", FORMS, ids=label)
def test_intervals_hold_the_exact_value_as_often_as_they_say(process: ForwardProcess) -> None:
    """1,000 repetitions, whose own standard error is 0.007."""
    assert 0.93 <= covered(process, 1000) <= 0.97


@pytest.mark.statistical
def test_the_error_is_the_deviation_of_the_estimates() -> None:
    """Of 400 estimates, whose deviation is known to 4 %; the spread over windows alone has that over levels in it."""
    process = UniformProcess(VOCABULARY)
    means, errors, plain = [], [], []
    for trial in range(400):
        canvas = canvas_of(LANGUAGE.sample(40, seed=trial), seed=1000 * trial)
        levels = spread_levels(0, 40, 1, trial)
        nats = position_nats(oracle(process), process, canvas, levels, trial).sum(-1)
        tokens = torch.full((40,), LENGTH)
        means.append(float(nats.sum()) / (40 * LENGTH))
        errors.append(spread_error(nats, tokens, levels[0])[0])
        plain.append(ratio_error(nats, tokens))
    deviation, found, wide = float(torch.tensor(means).std()), rms(errors), rms(plain)
    assert found == pytest.approx(deviation, rel=0.15)
    assert wide > 1.1 * deviation


def rms(values: list[float]) -> float:
    return float(torch.tensor(values).square().mean().sqrt())


def test_what_follows_the_level_is_no_error() -> None:
    """A slope over levels alone: nearly nothing is left of it, whatever the order of the windows."""
    levels = spread_levels(0, 500, 1, 3)[0]
    tokens = torch.full((500,), 10)
    error, degrees = spread_error(100 * levels, tokens, levels)
    assert error < 0.01 * ratio_error(100 * levels, tokens)
    assert degrees == pytest.approx(2 * 499**2 / 1496)


def test_the_error_by_hand() -> None:
    """Three windows of 2 tokens that cost 1, 5 and 3 a window in the order of their levels."""
    nats, levels = torch.tensor([5.0, 3.0, 1.0]), torch.tensor([0.5, 0.9, 0.1])
    error, degrees = spread_error(nats, torch.tensor([2, 2, 2]), levels)
    assert error == pytest.approx(math.sqrt((16 + 4) / 4 * 3) / 6)
    assert degrees == pytest.approx(8 / 5)
    assert spread_error(nats[:1], torch.tensor([2]), levels[:1]) == (math.inf, 0.0)


@pytest.mark.parametrize("process", [AbsorbingProcess(VOCABULARY), CHAIN], ids=label)
def test_windows_without_a_token_change_nothing(process: ForwardProcess) -> None:
    canvas = canvas_of(LANGUAGE.sample(12))
    empty = canvas_of(LANGUAGE.sample(3), torch.ones(3, LENGTH, dtype=torch.bool))
    alone, more = (estimate_nelbo(oracle(process), process, part) for part in ([canvas], [canvas, empty]))
    assert (more.standard_error, more.degrees_of_freedom) == (alone.standard_error, alone.degrees_of_freedom)
    none = estimate_nelbo(oracle(process), process, [empty])
    assert none.standard_error == math.inf and math.isnan(none.nats_per_token)


def test_student_is_that_of_the_tables() -> None:
    for degrees in (1, 1.5, 2, 8 / 5, 4.9, 30, 333.3, 1e5, 1e7):
        assert student_margin(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-5)


def test_intervals_are_wider_where_the_error_is_hardly_known() -> None:
    known, hardly = (Score("nelbo", 2.0, "nats/token", 9, 0.1, "", degrees) for degrees in (None, 3.0))
    assert known.interval == pytest.approx((2 - 0.1959964, 2 + 0.1959964))
    assert hardly.interval == pytest.approx((2 - 0.3182446, 2 + 0.3182446))
