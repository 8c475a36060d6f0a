"""Samplers against their own enumerated Markov chains, and the chains against the data.

Two positions, four tokens and the mask. The chi-square tests have fixed seeds; each would fail a right sampler with
probability 1e-4 if the seed were drawn afresh. With 60,000 rows a total variation of 2 % is found with near certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table, state_number, states, tabulate
from oracles import VOCABULARY, HiddenMarkov, ToyLanguage, canvas_of
from torch import Tensor

from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler
from textdiff.sampling.accept import (
    EntropyAccept,
    FirstHittingAccept,
    MarginAccept,
    RandomAccept,
    ThresholdAccept,
    TopKAccept,
)
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.text.canvas import Canvas

LANGUAGE = ToyLanguage.random(length=2, seed=3)
ROWS = 60_000
ERROR_RATE = 1e-4


def process_of(name: str, **options: object) -> ForwardProcess:
    return build(ForwardProcess, {"name": name, **options}, vocabulary=VOCABULARY)


@lru_cache(maxsize=256)
def laws_at(process: ForwardProcess, t: float) -> Tensor:
    """The exact leave-one-out denoiser of every state, [S, L, V]; absorbing noise has the same at all times."""
    return tabulate(LANGUAGE.denoiser(process), VOCABULARY, 2, t)


def timeless(process: ForwardProcess) -> Tensor:
    return laws_at(process, 0.5)


def pure_noise(process: ForwardProcess) -> Tensor:
    """The law of the starting state, [S]."""
    start = torch.zeros(VOCABULARY.size, dtype=torch.float64)
    first = process.vocabulary.writable().nonzero()[0]
    start += chains.transitions(process, 0.0, 1.0)[first[0]]
    return start[states(VOCABULARY, 2)].prod(-1)


def run_chain(start: Tensor, kernels: list[Tensor]) -> Tensor:
    """The law at the end, over the 16 sequences of the language."""
    law = start
    for kernel in kernels:
        # States that cannot occur have no law; they have no weight either.
        law = (law[:, None] * torch.where(law[:, None] > 0, kernel, 0.0)).sum(0)
    assert abs(float(law.sum()) - 1) < 1e-9
    return law[state_number(LANGUAGE.sequences, VOCABULARY)]


def uniform_times(steps: int) -> list[tuple[float, float]]:
    """(s, t) of each step."""
    return [((steps - k - 1) / steps, (steps - k) / steps) for k in range(steps)]


def p_value(sampler: Sampler, process: ForwardProcess, expected: Tensor) -> float:
    """Of Pearson's chi-square test that the sampler's rows come from `expected` [16]."""
    table = timeless(process) if isinstance(process, AbsorbingProcess) else partial(laws_at, process)
    ids = sampler.sample(from_table(table, VOCABULARY), process, canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))).ids
    index = LANGUAGE.index(ids)
    assert (index >= 0).all()
    counts = torch.bincount(index, minlength=len(expected)).to(torch.float64)
    possible = expected > 1e-12
    assert counts[~possible].sum() == 0
    assert expected[possible].min() * len(ids) > 5, "a cell is too small for the test"
    return float(scipy.stats.chisquare(counts[possible], expected[possible] * len(ids)).pvalue)


def absorbing_chain(steps: int, kernel: Callable[[float, float], Tensor]) -> Tensor:
    """Kernels from (s, t), from all masks to the data."""
    process = process_of("absorbing")
    return run_chain(pure_noise(process), [kernel(s, t) for s, t in uniform_times(steps)])


def ranked_chain(steps: int, score: chains.Score) -> Tensor:
    laws = timeless(process_of("absorbing"))
    return absorbing_chain(steps, lambda s, t: chains.ranked(VOCABULARY, laws, round(2 * s), score))


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_random_accept(steps: int, schedule: str) -> None:
    process = process_of("absorbing", schedule=schedule)
    laws, alpha = timeless(process), lambda t: float(process.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
    expected = absorbing_chain(steps, lambda s, t: chains.remdm(VOCABULARY, laws, alpha(s), alpha(t), 0.0))
    assert p_value(Sampler(steps=steps, accept=RandomAccept()), process, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("cap", [0.1, 1.0])
def test_remdm_cap(cap: float) -> None:
    laws = timeless(process_of("absorbing"))

    def kernel(s: float, t: float) -> Tensor:
        sigma = min(cap, s / (1 - t)) if t < 1 else cap
        return chains.remdm(VOCABULARY, laws, 1 - s, 1 - t, sigma)

    sampler = Sampler(steps=6, renoise=RemdmCapRenoise(cap=cap))
    assert p_value(sampler, process_of("absorbing"), absorbing_chain(6, kernel)) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("absorbing", {}),
        ("uniform", {}),
        ("uniform", {"schedule": "cosine"}),
        ("hybrid", {}),
        ("hybrid", {"mask_share": 0.3, "final_mask_share": 0.9}),
    ],
)
def test_posterior_transition(name: str, options: dict[str, object]) -> None:
    process = process_of(name, **options)
    kernels = [chains.posterior(process, laws_at(process, t), s, t) for s, t in uniform_times(4)]
    expected = run_chain(pure_noise(process), kernels)
    assert p_value(Sampler(steps=4, transition=PosteriorTransition()), process, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize(
    ("accept", "score"),
    [(TopKAccept(), chains.confidence), (MarginAccept(), chains.margin), (EntropyAccept(), chains.certainty)],
)
def test_ranked_accept(accept: TopKAccept, score: chains.Score, steps: int) -> None:
    assert (
        p_value(Sampler(steps=steps, accept=accept), process_of("absorbing"), ranked_chain(steps, score)) > ERROR_RATE
    )


@pytest.mark.statistical
def test_top_k_with_randomness() -> None:
    """At s = 1/2 the noise has half its scale; the second step settles what is left."""
    laws = timeless(process_of("absorbing"))
    expected = absorbing_chain(2, lambda s, t: chains.noisy_ranks(VOCABULARY, laws, 3.0 * 0.5))
    assert p_value(Sampler(steps=2, accept=TopKAccept(randomness=3.0)), process_of("absorbing"), expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_threshold_accept(probability: float) -> None:
    laws = timeless(process_of("absorbing"))
    expected = absorbing_chain(2, lambda s, t: chains.threshold(VOCABULARY, laws, probability))
    sampler = Sampler(steps=2, accept=ThresholdAccept(probability))
    assert p_value(sampler, process_of("absorbing"), expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", [Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()), Sampler(steps=2)])
def test_first_hitting_has_the_law_of_the_data(sampler: Sampler) -> None:
    """Exactly, with the exact denoiser; two ancestral steps do not, which shows that the test can tell."""
    sampler = replace(sampler, steps=2)
    right = isinstance(sampler.grid, FirstHittingGrid)
    assert (p_value(sampler, process_of("absorbing"), LANGUAGE.probabilities) > ERROR_RATE) == right


@pytest.mark.statistical
def test_first_hitting_has_the_law_of_many_ancestral_steps() -> None:
    """Also for a denoiser that is far from exact and heeds the time: the limit is the chain's, with 2,000 steps."""
    process = process_of("absorbing")
    base = timeless(process)

    def laws(t: float) -> Tensor:
        bent = torch.nan_to_num(base, 0.0) ** (0.3 + 2 * t) + 1e-3 * VOCABULARY.writable()
        return bent / bent.sum(-1, keepdim=True)

    expected = absorbing_chain(2000, lambda s, t: chains.remdm(VOCABULARY, laws(t), 1 - s, 1 - t, 0.0))
    canvas = canvas_of(torch.zeros(ROWS, 2, dtype=torch.long), seed=5)
    where_masked = state_number(torch.tensor([[1, 1], [1, 2]]), VOCABULARY)
    assert not torch.allclose(laws(0.1)[where_masked], laws(0.9)[where_masked])

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        power = (0.3 + 2 * t).view(-1, 1, 1)
        bent = torch.nan_to_num(base, 0.0)[state_number(x_t, VOCABULARY)] ** power + 1e-3 * VOCABULARY.writable()
        return bent.log()[where]

    ids = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()).sample(denoise, process, canvas).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    assert scipy.stats.chisquare(counts, expected * ROWS).pvalue > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["absorbing", "uniform"])
def test_given_tokens_condition_the_law(name: str) -> None:
    """With one of the two tokens given, one step of the exact denoiser is the exact conditional."""
    process = process_of(name)
    given = torch.tensor([[0, 4]]).expand(ROWS // 3, 2)
    frozen = torch.tensor([[False, True]]).expand(ROWS // 3, 2)
    expected = LANGUAGE.conditioned(given[0], frozen[0])
    transition = {"absorbing": Sampler(steps=3), "uniform": Sampler(steps=3, transition=PosteriorTransition())}[name]

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        law = torch.zeros(VOCABULARY.size, dtype=torch.float64).index_add(0, LANGUAGE.sequences[:, 0], expected)
        assert (x_t[:, 1] == 4).all()
        return law.log().expand(int(where.sum()), -1)

    ids = transition.sample(denoise, process, canvas_of(given, frozen, seed=9)).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert scipy.stats.chisquare(counts[possible], expected[possible] * len(ids)).pvalue > ERROR_RATE


@pytest.mark.parametrize("name", ["absorbing", "uniform", "hybrid"])
def test_distance_from_the_data_falls_as_one_over_steps(name: str) -> None:
    """Computed from the chains that the tests above hold the sampler to: twice the steps, half the distance."""
    process = process_of(name)
    distances = []
    for steps in (32, 64):
        kernels = [chains.posterior(process, laws_at(process, t), s, t) for s, t in uniform_times(steps)]
        law = run_chain(pure_noise(process), kernels)
        distances.append(float((law - LANGUAGE.probabilities).abs().sum()) / 2)
    assert 1e-4 < distances[0] < 0.05
    assert distances[0] / distances[1] == pytest.approx(2, rel=0.05)


@pytest.mark.statistical
def test_a_longer_language_has_its_own_surprise() -> None:
    """Six tokens of a hidden Markov chain: one token a step gives its entropy, all at once much worse.

    The difference of two means over 1,500 rows each is held to 4 standard errors (error rate 6e-5).
    """
    language = HiddenMarkov.random(seed=2, sharpness=2.5)
    process, canvas = process_of("absorbing"), canvas_of(torch.zeros(1500, 6, dtype=torch.long))
    truth = language.log_probability(language.sample(1500, 6, seed=1))
    scores = []
    for sampler in (Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()), Sampler(steps=1)):
        found = language.log_probability(sampler.sample(language.denoiser(process), process, canvas).ids)
        scores.append(float((found.mean() - truth.mean()) / (found.var() / 1500 + truth.var() / 1500).sqrt()))
    assert abs(scores[0]) < 4
    assert scores[1] < -4
