"""Correctors: noise that goes forward and back with masks, and Gibbs steps where noise does not show."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import chains
import pytest
import scipy.stats
import torch
from fakes import Counted, from_table, state_number, states, tabulate, wild_denoiser
from oracles import VOCABULARY, ToyLanguage, canvas_of, transitions
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, Step, preset
from textdiff.sampling.grids import RestingGrid
from textdiff.sampling.renoise import DfmRenoise, ForwardBackwardRenoise, RemdmLoopRenoise, Renoise
from textdiff.sampling.renoise.remdm_cap import largest_sigma
from textdiff.sampling.step import begin_step
from textdiff.sampling.transitions import GibbsTransition

LANGUAGE = ToyLanguage.random(length=2, seed=3)
STATES = states(VOCABULARY, 2)
ROWS = 30_000


def process_of(config: dict[str, object] | str, vocabulary: object = VOCABULARY) -> ForwardProcess:
    return build(ForwardProcess, config, vocabulary=vocabulary)


def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.6 * torch.randn(len(STATES), 2, VOCABULARY.size, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


@lru_cache(maxsize=64)
def exact(process: ForwardProcess, t: float) -> Tensor:
    """The exact leave-one-out denoiser of every state, [S, L, V]."""
    return tabulate(LANGUAGE.denoiser(process), VOCABULARY, 2, t)


def step_of(process: ForwardProcess, s: float, t: float) -> Step:
    """All states as the rows of a step, everything noisy."""
    number, every = torch.zeros(len(STATES), dtype=torch.long), torch.ones_like(STATES, dtype=torch.bool)
    time = torch.full((len(STATES),), t, dtype=torch.float64)
    zeros = torch.zeros_like(STATES, dtype=torch.float64)
    step = begin_step(process, Draws.seeded(number), number, 4, STATES, every, every, every, time, zeros)
    return replace(step.planned(every, every), s=torch.full_like(time, s))


def sigma_of(renoise: Renoise, process: ForwardProcess, s: float, t: float) -> float:
    return float(renoise.probability(step_of(process, s, t))[0, 0])


def rates(process: ForwardProcess, laws: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Of noise and of reversed noise, per unit of alpha: [S, L, V] each, the diagonal making rows sum to 0."""
    gap, ids = 1e-6, STATES
    fall = process.schedule.alpha(torch.tensor([t, t + gap], dtype=torch.float64)).diff().abs()
    forward = (transitions(process, t, t + gap) - torch.eye(VOCABULARY.size, dtype=torch.float64)) / fall
    here = laws @ transitions(process, 0.0, t)
    ratio = here / here.gather(-1, ids.unsqueeze(-1))
    back = (forward.T[ids] * ratio).scatter(-1, ids.unsqueeze(-1), 0.0).nan_to_num(posinf=0.0)
    return forward[ids], back.scatter(-1, ids.unsqueeze(-1), -back.sum(-1, keepdim=True))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("renoise", [ForwardBackwardRenoise(), DfmRenoise(), DfmRenoise(3.0, 1.0, 0.5)], ids=repr)
def test_one_step_is_an_euler_step_of_both_moves(renoise: Renoise, schedule: str) -> None:
    """I + h (beta noise + (1 + beta) reversed noise), h = alpha_s - alpha_t, is ReMDM's chain with that sigma."""
    process = process_of({"name": "absorbing", "schedule": schedule})
    for s, t in ((0.49, 0.5), (0.7, 0.71), (0.3, 0.31)):
        alpha_s, alpha_t = process.schedule.alpha(torch.tensor([s, t], dtype=torch.float64)).tolist()
        beta = 1.0
        if isinstance(renoise, DfmRenoise):
            beta = renoise.strength * alpha_t**renoise.data_power * (1 - alpha_t) ** renoise.noise_power
        forward, back = rates(process, exact(process, t), t)
        here = torch.nn.functional.one_hot(STATES, VOCABULARY.size).to(torch.float64)
        euler = chains.independent(here + (alpha_s - alpha_t) * (beta * forward + (1 + beta) * back), STATES)
        sigma = sigma_of(renoise, process, s, t)
        found = chains.remdm(VOCABULARY, exact(process, t), alpha_s, alpha_t, sigma)
        occurs = LANGUAGE.noisy(process, t, STATES).sum(0) > 0
        torch.testing.assert_close(found[occurs], euler[occurs], atol=1e-5, rtol=1e-4)


def test_forward_backward_is_noise_and_then_the_reverse_kernel() -> None:
    """From alpha to alpha - h by noise, from there to alpha + h by the reverse kernel: the difference falls as h squared."""
    process, t, gaps = process_of("absorbing"), 0.5, []
    occurs = LANGUAGE.noisy(process, t, STATES).sum(0) > 0
    for h in (0.02, 0.01):
        noise = chains.independent(transitions(process, t, t + h)[STATES], STATES)
        two_moves = noise @ chains.posterior(process, exact(process, t + h), t - h, t + h).nan_to_num()
        sigma = sigma_of(ForwardBackwardRenoise(), process, t - h, t)
        assert sigma == pytest.approx(1 - float(transitions(process, t, t + h)[2, 2]))
        found = chains.remdm(VOCABULARY, exact(process, t), 1 - t + h, 1 - t, sigma)
        gaps.append(float((found - two_moves)[occurs].abs().max()))
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.1)
    assert 1e-6 < gaps[1] < 1e-2


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_sigma_is_never_more_than_keeps_the_marginals(schedule: str) -> None:
    process = process_of({"name": "absorbing", "schedule": schedule})
    for renoise in (ForwardBackwardRenoise(), DfmRenoise(), DfmRenoise(1e6)):
        for s, t in ((0.0, 0.5), (0.5, 1.0), (0.01, 0.3), (0.3, 0.3), (0.9, 0.999)):
            sigma, most = sigma_of(renoise, process, s, t), float(largest_sigma(step_of(process, s, t))[0])
            assert 0 <= sigma <= most
    assert sigma_of(DfmRenoise(1e6), process, 0.2, 0.3) == float(largest_sigma(step_of(process, 0.2, 0.3))[0])
    assert sigma_of(DfmRenoise(0.0), process, 0.2, 0.3) == 0


def pure_noise(process: ForwardProcess) -> Tensor:
    return transitions(process, 0.0, 1.0)[2][STATES].prod(-1)


def p_value(sampler: Sampler, process: ForwardProcess, kernels: list[Tensor]) -> float:
    """Of Pearson's test that the sampler's rows come from the chain of these kernels."""
    expected = ends_as(process, kernels) * ROWS
    ids = sampler.sample(from_table(wild, VOCABULARY), process, canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    assert expected.min() > 5
    return float(scipy.stats.chisquare(counts, expected).pvalue)


def ends_as(process: ForwardProcess, kernels: list[Tensor]) -> Tensor:
    """The law of the texts at the end, [16]."""
    law = pure_noise(process)
    for kernel in kernels:
        law = law @ torch.where(law[:, None] > 0, kernel, 0.0)
    return law[state_number(LANGUAGE.sequences, VOCABULARY)]


@pytest.mark.statistical
@pytest.mark.parametrize("renoise", [ForwardBackwardRenoise(), DfmRenoise()], ids=repr)
def test_the_sampler_has_the_law_of_its_chain(renoise: Renoise) -> None:
    process, steps, kernels = process_of("absorbing"), 6, []
    for k in range(steps):
        s, t = (steps - k - 1) / steps, (steps - k) / steps
        alpha = max(1 - t, 1e-12)
        beta = 1.0 if isinstance(renoise, ForwardBackwardRenoise) else 10 * alpha**0.25 * t**0.25
        sigma = min(beta * (t - s) / alpha, s / alpha, 1.0)
        kernels.append(chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, sigma))
    assert p_value(Sampler(steps=steps, renoise=renoise), process, kernels) > 1e-4


NOISES = [
    {"name": "uniform"},
    {"name": "uniform", "schedule": "cosine"},
    {"name": "hybrid"},
    {"name": "hybrid", "mask_share": 0.3, "final_mask_share": 0.9},
]


def redrawn(process: ForwardProcess, laws: Tensor, t: float) -> Tensor:
    """alpha p(x_0) + b from the noise's own matrix: what a position is drawn from, [S, L, V]."""
    return laws @ transitions(process, 0.0, t)


def one_of_two(moves: Tensor) -> Tensor:
    """The kernel [S, S] that redraws one position, chosen at random, from moves [S, L, V]."""
    here = torch.nn.functional.one_hot(STATES, VOCABULARY.size).to(torch.float64)
    both = [torch.stack([moves[:, 0], here[:, 1]], 1), torch.stack([here[:, 0], moves[:, 1]], 1)]
    return sum((chains.independent(kernel, STATES) / 2 for kernel in both), torch.zeros(len(STATES), len(STATES)))


def noisy_law(process: ForwardProcess, t: float) -> Tensor:
    return LANGUAGE.probabilities @ LANGUAGE.noisy(process, t, STATES)


@pytest.mark.parametrize("config", NOISES, ids=str)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_a_rest_draws_from_the_conditional_law_and_keeps_the_noisy_one(config: dict[str, object], t: float) -> None:
    """What the transition itself says, one token at a time, on the exact q_t: it stays, and any other law comes to it."""
    process = process_of(config)
    step = step_of(process, t, t)
    moves = GibbsTransition().kernel(step, exact(process, t).log().flatten(0, 1)).exp().view(len(STATES), 2, -1)
    law = noisy_law(process, t)
    occurs = law > 0
    torch.testing.assert_close(moves[occurs], redrawn(process, exact(process, t), t)[occurs])
    # Conditional laws by division: p(x_i | x_j) = q(x_i, x_j) / q(x_j).
    table = law.view(VOCABULARY.size, VOCABULARY.size)
    given = table[:, STATES[:, 1]].T / table.sum(0)[STATES[:, 1]].unsqueeze(-1)
    torch.testing.assert_close(moves[occurs, 0], given[occurs])
    kernel = one_of_two(moves.nan_to_num())
    torch.testing.assert_close(law @ kernel, law)
    start = pure_noise(process)
    start = (
        start if t < 0.9 else torch.zeros_like(law).index_fill(0, law.argmin() if law.min() > 0 else law.argmax(), 1.0)
    )
    distances = [float((start @ torch.linalg.matrix_power(kernel, n) - law).abs().sum()) / 2 for n in (0, 10, 400)]
    assert distances[0] > 0.01 and distances[1] < distances[0] and distances[2] < 1e-9


def test_two_at_a_time_do_not_keep_it() -> None:
    """So that the test above can fail: both at once are drawn without each other."""
    process, t = process_of("uniform"), 0.3
    law = noisy_law(process, t)
    moved = law @ torch.where(law[:, None] > 0, chains.independent(redrawn(process, exact(process, t), t), STATES), 0.0)
    assert float((moved - law).abs().sum()) / 2 > 0.02


@pytest.mark.statistical
@pytest.mark.parametrize("config", NOISES, ids=str)
def test_the_gibbs_sampler_has_the_law_of_its_chain(config: dict[str, object]) -> None:
    """Steps to 2/3, rest twice, to 1/3, rest twice, to the end."""
    process, kernels = process_of(config), []
    for k in range(3):
        s, t = (2 - k) / 3, (3 - k) / 3
        kernels.append(chains.posterior(process, wild(t), s, t).nan_to_num())
        kernels += [one_of_two(redrawn(process, wild(s), s))] * (2 if s > 0 else 0)
    sampler = Sampler(steps=7, grid=RestingGrid(2), transition=GibbsTransition())
    assert p_value(sampler, process, kernels) > 1e-4


@pytest.mark.parametrize("name", ["uniform", "hybrid"])
def test_a_rest_undoes_what_the_moves_before_got_wrong(name: str) -> None:
    """Moves keep the marginals of two tokens, and drawing one given the other makes a pair of them: only the last move errs."""
    process, times = process_of(name), [1.0, 0.75, 0.5, 0.25, 0.0]
    moves = [chains.posterior(process, exact(process, t), s, t).nan_to_num() for t, s in pairwise(times)]
    rests = [one_of_two(redrawn(process, exact(process, s), s).nan_to_num()) for s in times[1:-1]]
    corrected = [kernel for pair in zip(moves, rests, strict=False) for kernel in pair] + moves[-1:]
    from_the_law = (noisy_law(process, 0.25) @ moves[-1])[state_number(LANGUAGE.sequences, VOCABULARY)]
    found = ends_as(process, corrected)
    torch.testing.assert_close(found, from_the_law)
    plain, better = (float((law - LANGUAGE.probabilities).abs().sum()) / 2 for law in (ends_as(process, moves), found))
    assert better < 0.7 * plain


def test_what_a_rest_asks_for() -> None:
    """A share of the tokens, at least one, of which some change; in the other steps all. With masks nothing."""
    asked, texts = list[list[int]](), list[Tensor]()
    sampler = Sampler(steps=5, grid=RestingGrid(1), transition=GibbsTransition(0.3))
    network = wild_denoiser(WIDE)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        asked.append(where.sum(-1).tolist())
        texts.append(x_t)
        return network(x_t, t, canvas, where)

    canvas = canvas_from([[False] * 10, [False, True, False], [True] * 2 + [False] * 7], [1, 2, 3])
    for name in ("uniform", "hybrid"):
        asked.clear(), texts.clear()
        sampler.sample(noting, process_of(name, WIDE), canvas)
        assert asked == [[10, 2, 7], [3, 1, 2], [10, 2, 7], [3, 1, 2], [10, 2, 7]]
        changed = (texts[2] != texts[1]).sum(-1)
        assert (changed <= torch.tensor([3, 1, 2])).all() and changed.sum() > 0
    counted = Counted(network)
    masked = sampler.sample(counted, process_of("absorbing", WIDE), canvas)
    plain = replace(preset("posterior"), steps=3).sample(network, process_of("absorbing", WIDE), canvas)
    assert masked.nfe.max() <= 3 and torch.equal(masked.nfe > 0, plain.nfe > 0)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("rests", [0, 1, 3])
def test_the_resting_grid_keeps_its_times(rests: int, steps: int) -> None:
    told = list[float]()
    network = wild_denoiser(WIDE)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        told.append(float(t[0]))
        return network(x_t, t, canvas, where)

    sampler = Sampler(steps=steps, grid=RestingGrid(rests), transition=GibbsTransition())
    samples = sampler.sample(noting, process_of("uniform", WIDE), canvas_from([[False] * 3], [0]))
    moves = (steps - 1) // (rests + 1) + 1
    expected = [1.0, *((moves - k) / moves for k in range(1, moves) for _ in range(rests + 1))]
    assert told == expected and samples.nfe.tolist() == [len(expected)] and len(expected) <= steps


@pytest.mark.statistical
def test_remdm_may_rest_on_any_time() -> None:
    """A corrector for masks: at 1/2 half of what stands goes back, and as much settles."""
    process = process_of("absorbing")
    alphas, cap = [0.0, 0.5, 0.5, 1.0], 0.4
    kernels = [chains.remdm(VOCABULARY, wild(1 - a), b, a, cap if a == b else 0.0) for a, b in pairwise(alphas)]
    sampler = Sampler(steps=3, grid=RestingGrid(1), renoise=RemdmLoopRenoise(cap))
    assert p_value(sampler, process, kernels) > 1e-4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"transition": {"name": "gibbs", "share": 0}}, "share must be above 0 and at most 1"),
        ({"grid": {"name": "resting", "rests": -1}}, "rests must be at least 0"),
        ({"renoise": {"name": "dfm", "strength": -1}}, "strength must be a finite number of at least 0"),
        ({"renoise": {"name": "dfm", "data_power": -2}}, "data_power must be a finite number"),
        ({"transition": "gibbs", "renoise": "dfm"}, "the gibbs transition decides alone what settles"),
    ],
)
def test_wrong_options_are_errors(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, config)
