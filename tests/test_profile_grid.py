"""Grids that are chosen by what steps cost: the costs by enumeration, the choice by trying all, the grid by its law."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import chains
import pytest
import torch
from fakes import from_table, states, wild_denoiser
from oracles import VOCABULARY, canvas_of, transitions
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from
from test_sampling_chain import LANGUAGE, laws_at, process_of, pure_noise, run_chain
from test_scripts import script
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.evaluation.step_costs import cheapest, from_here, levels, price, step_costs
from textdiff.files import parse_yaml
from textdiff.processes import ForwardProcess
from textdiff.registry import build, to_config
from textdiff.sampling import Sampler
from textdiff.sampling.grids import EqualAlphaGrid, ProfileGrid
from textdiff.sampling.transitions import PosteriorTransition

ALPHAS = torch.tensor([0.0, 0.2, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64)


def enumerated(process: ForwardProcess, s: float, t: float) -> float:
    """E KL(q(x_s | x_t, x_0) || p(x_s | x_t)) for the exact denoiser, nats per text, by summing over everything."""
    p_s = chains.moves(process, laws_at(process, t), s, t)
    total, into = 0.0, transitions(process, s, t)
    for x_0, weight in zip(LANGUAGE.sequences, LANGUAGE.probabilities, strict=True):
        at_t = transitions(process, 0.0, t)[x_0]
        at_s = transitions(process, 0.0, s)[x_0]
        for number, x_t in enumerate(states(VOCABULARY, 2)):
            seen = float(weight * at_t[0, x_t[0]] * at_t[1, x_t[1]])
            if seen == 0:
                continue
            for place in (0, 1):
                q = at_s[place] * into[:, x_t[place]]
                q = q / q.sum()
                here = q > 0
                total += seen * float((q[here] * (q[here] / p_s[number, place][here]).log()).sum())
    return total


def exact_costs(process: ForwardProcess) -> Tensor:
    times = process.schedule.inverse(ALPHAS).tolist()
    costs = torch.full((len(times), len(times)), torch.inf, dtype=torch.float64)
    for i, j in itertools.combinations(range(len(times)), 2):
        costs[i, j] = enumerated(process, times[j], times[i]) / 2
    return costs


NOISES = ["absorbing", "uniform"]


@pytest.mark.statistical
@pytest.mark.parametrize("name", NOISES)
def test_costs_are_those_that_enumeration_gives(name: str) -> None:
    """On 40,000 drawn texts: the fewest tokens, a tenth, cost what they do to 1.5 %; to three times that."""
    process = process_of(name)
    rows = LANGUAGE.sample(40_000, seed=1)
    found = step_costs(
        fast(process), process, [canvas_of(part, seed=k << 20) for k, part in enumerate(rows.split(9000))], ALPHAS
    )
    expected = exact_costs(process)
    above = torch.ones_like(found).triu(1).bool()
    assert found[~above].isposinf().all()
    torch.testing.assert_close(found[above], expected[above], rtol=0.045, atol=2e-3)


def fast(process: ForwardProcess):  # type: ignore[no-untyped-def]
    """The exact denoiser by table."""
    return from_table(lambda t: laws_at(process, t), VOCABULARY)


@pytest.mark.parametrize("name", NOISES)
def test_costs_of_a_way_less_the_entropy_bound_what_is_written(name: str) -> None:
    """KL(data || law of the chain) is at most the sum; with masks and one step it is the total correlation, no less."""
    process, costs = process_of(name), exact_costs(process_of(name))
    times = process.schedule.inverse(ALPHAS).tolist()
    for way in ([0, 5], [0, 2, 5], [0, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5]):
        kernels = [chains.posterior(process, laws_at(process, times[a]), times[b], times[a]) for a, b in pairwise(way)]
        law, data = run_chain(pure_noise(process), kernels), LANGUAGE.probabilities
        apart = float((data * (data / law).log()).sum())
        excess = 2 * price(costs, way) - LANGUAGE.entropy()
        assert 0 < apart <= excess + 1e-9
        if way == [0, 5]:
            assert apart == pytest.approx(excess)


def test_with_masks_a_way_is_a_sum_of_rectangles_below_the_profile() -> None:
    """(alpha_s - alpha_t) times the entropy of a token given others that survived to t."""
    costs = exact_costs(process_of("absorbing"))
    profile = costs[:, -1] / (1 - ALPHAS)
    for i, j in itertools.combinations(range(len(ALPHAS)), 2):
        assert float(costs[i, j]) == pytest.approx(float((ALPHAS[j] - ALPHAS[i]) * profile[i]))
    assert (profile[:-1].diff() < 0).all()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_masks_are_the_general_case(schedule: str) -> None:
    process = process_of("absorbing", schedule=schedule)
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(7, 6, generator=generator).masked_fill(~VOCABULARY.writable(), -torch.inf).log_softmax(-1)
    x_0, x_t = torch.tensor([2, 3, 4, 5, 2, 3, 4]), torch.full((7,), 1)
    t, ends = torch.tensor([0.8], dtype=torch.float64), torch.tensor([0.5, 0.2, 0.0], dtype=torch.float64)
    general = from_here.dispatch(ForwardProcess)(process, log_p, x_0, x_t, t, ends)
    torch.testing.assert_close(from_here(process, log_p, x_0, x_t, t, ends), general, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["absorbing", "uniform", "hybrid", "matrix"])
def test_costs_never_see_padding_or_what_is_given(name: str) -> None:
    process = build(ForwardProcess, name, vocabulary=WIDE)
    rows = [[False] * 6, [True, False, False, True]]
    short, long = (canvas_from(rows, [3, 4], extra).with_ids(torch.full((2, 6 + extra), 5)) for extra in (0, 4))
    found, same = (step_costs(wild_denoiser(WIDE), process, [canvas], ALPHAS) for canvas in (short, long))
    assert torch.equal(found, same)
    apart = step_costs(wild_denoiser(WIDE), process, [short.rows(torch.tensor([i])) for i in (1, 0)], ALPHAS)
    torch.testing.assert_close(apart, found)
    above = torch.ones_like(found).triu(1).bool()
    assert (found[above] >= -1e-6).all() and found[above].isfinite().all()


def test_what_has_no_levels_is_refused() -> None:
    process = build(ForwardProcess, "autoregressive", vocabulary=WIDE)
    with pytest.raises(ConfigError, match="no noise levels to choose"):
        step_costs(wild_denoiser(WIDE), process, [canvas_from([[False] * 3], [1])], ALPHAS)
    given = canvas_from([[True] * 3], [1])
    with pytest.raises(ConfigError, match="no token that could be noise"):
        step_costs(wild_denoiser(WIDE), build(ForwardProcess, "absorbing", vocabulary=WIDE), [given], ALPHAS)


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_way_is_that_of_trying_all(seed: int) -> None:
    size = 8
    costs = torch.rand(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    costs = costs.masked_fill(torch.ones_like(costs).tril().bool(), torch.inf)
    for steps in range(1, size):
        ways = [[0, *middle, size - 1] for middle in itertools.combinations(range(1, size - 1), steps - 1)]
        assert cheapest(costs, steps) == min(ways, key=lambda way: price(costs, way))
    for steps in (0, size):
        with pytest.raises(ConfigError, match="steps must be from 1 to 7"):
            cheapest(costs, steps)


def test_levels_are_closest_at_both_ends() -> None:
    found = levels(10)
    assert float(found[0]) == 0 and float(found[-1]) == pytest.approx(1) and (found.diff() > 0).all()
    torch.testing.assert_close(found + found.flip(0), torch.ones(11, dtype=torch.float64))
    assert float(found[1]) < 0.3 / 10


def told(sampler: Sampler, schedule: str = "linear") -> list[float]:
    """alpha at the network's calls."""
    process = build(ForwardProcess, {"name": "absorbing", "schedule": schedule}, vocabulary=WIDE)
    network, found = wild_denoiser(WIDE), list[float]()

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        found.append(float(process.schedule.alpha(t.double())))
        return network(x_t, t, canvas, where)

    sampler.sample(noting, process, canvas_from([[False] * 300], [11]))
    return found


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_grid_has_its_levels_and_straight_lines_between(schedule: str) -> None:
    grid = ProfileGrid((0.1, 0.3, 0.7))
    cases = {4: [0, 0.1, 0.3, 0.7], 2: [0, 0.3], 8: [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85], 1: [0]}
    for steps, expected in cases.items():
        assert told(Sampler(steps=steps, grid=grid), schedule) == pytest.approx(expected)
    for steps in (1, 7, 49):
        assert told(Sampler(steps=steps, grid=ProfileGrid())) == pytest.approx(
            told(Sampler(steps=steps, grid=EqualAlphaGrid()))
        )


def test_many_levels_are_met_exactly() -> None:
    alphas = tuple(float(a) for a in levels(49)[1:-1])
    sampler = Sampler(steps=49, grid=ProfileGrid(alphas), transition=PosteriorTransition())
    found = told(sampler)  # a row whose tokens have all settled asks no more
    assert len(found) >= 45 and found == pytest.approx([0, *alphas][: len(found)], abs=1e-12)


@pytest.mark.parametrize("alphas", [(0.5, 0.5), (0.6, 0.2), (0.0, 0.5), (0.5, 1.0), (-0.1,), (math.nan,)])
def test_levels_that_do_not_rise_are_refused(alphas: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="alphas must rise and lie between 0 and 1"):
        ProfileGrid(alphas)
    made = Sampler(grid=ProfileGrid((0.25, 0.5)))
    assert build(Sampler, to_config(made)) == made


@pytest.mark.parametrize("name", NOISES)
def test_a_fitted_grid_is_no_worse_than_others(name: str) -> None:
    """By chains of the exact denoiser: with masks the even grid is hard to beat here, with uniform noise it is not."""
    process = process_of(name)
    marks = torch.linspace(0, 1, 41, dtype=torch.float64)
    rows = LANGUAGE.sample(4000, seed=1)
    costs = step_costs(fast(process), process, [canvas_of(rows)], marks)

    def distance(alphas: list[float]) -> float:
        times = process.schedule.inverse(torch.tensor(alphas, dtype=torch.float64)).tolist()
        kernels = [chains.posterior(process, laws_at(process, t), s, t) for t, s in pairwise(times)]
        return float((run_chain(pure_noise(process), kernels) - LANGUAGE.probabilities).abs().sum()) / 2

    for steps in (3, 5):
        fitted = distance([float(marks[k]) for k in cheapest(costs, steps)])
        even = distance([k / steps for k in range(steps + 1)])
        cosine = distance([1 - math.cos(math.pi / 2 * k / steps) for k in range(steps)] + [1.0])
        assert fitted < 1.06 * even and fitted < cosine  # it has least divergence, on few levels
        if name == "uniform":
            assert fitted < 0.9 * even


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("The old house stood by the river, and nobody had lived in it for years. " * 8)
    yield path


def test_the_script_writes_a_sampler(texts: Path) -> None:
    found = script("fit_grid.py", "--data", texts, "--windows", "1", "--levels", "4", "--steps", "3")
    sampler = build(Sampler, parse_yaml(found, "script"))
    assert sampler.steps == 3 and isinstance(sampler.grid, ProfileGrid) and len(sampler.grid.alphas) == 2
