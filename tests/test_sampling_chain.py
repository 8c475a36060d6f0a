"""Samplers against their own enumerated Markov chains, and the chains against the data.

Two positions, four tokens and the mask. The chi-square tests have fixed seeds; each would fail a right sampler with
probability 1e-4 if the seed were drawn afresh. With 60,000 rows a total variation of 2 % is found with near certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table, state_number, states, tabulate
from oracles import VOCABULARY, HiddenMarkov, ToyLanguage, canvas_of
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Event, Sampler
from textdiff.sampling.accept import (
    Accept,
    EntropyAccept,
    EntropyBoundAccept,
    FactorAccept,
    FirstHittingAccept,
    KlassAccept,
    MarginAccept,
    RandomAccept,
    ThresholdAccept,
    TopKAccept,
    TopProbabilityAccept,
)
from textdiff.sampling.grids import AdaptiveGrid, EqualAlphaGrid, FirstHittingGrid, LoopGrid
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.renoise import RemdmCapRenoise, RemdmConfidenceRenoise, RemdmLoopRenoise, RemdmRescaleRenoise
from textdiff.sampling.stops import EntropyStop
from textdiff.sampling.transitions import MaskPredictTransition, PosteriorTransition
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

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
        law = step_of(law, kernel)
    assert abs(float(law.sum()) - 1) < 1e-9
    return law[state_number(LANGUAGE.sequences, VOCABULARY)]


def step_of(law: Tensor, kernel: Tensor) -> Tensor:
    """The law a step later. States that cannot occur have no kernel; they have no weight either."""
    return (law[:, None] * torch.where(law[:, None] > 0, kernel, 0.0)).sum(0)


def uniform_times(steps: int) -> list[tuple[float, float]]:
    """(s, t) of each step."""
    return [((steps - k - 1) / steps, (steps - k) / steps) for k in range(steps)]


def p_value(
    sampler: Sampler,
    process: ForwardProcess,
    laws: Tensor | Callable[[float], Tensor],
    expected: Tensor,
    weak: Denoiser | None = None,
) -> float:
    """Of Pearson's chi-square test that the sampler's rows, for a denoiser of these laws, come from `expected` [16]."""
    canvas = canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))
    index = LANGUAGE.index(sampler.sample(from_table(laws, VOCABULARY), process, canvas, weak=weak).ids)
    assert (index >= 0).all()
    counts = torch.bincount(index, minlength=len(expected)).to(torch.float64)
    assert expected.min() * ROWS > 5, "a cell is too small for the test"
    return float(scipy.stats.chisquare(counts, expected * ROWS).pvalue)


@lru_cache(maxsize=64)
def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others at each time: what a row ends as tells when its tokens settled."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.6 * torch.randn(VOCABULARY.size**2, 2, VOCABULARY.size, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


def chain(process: ForwardProcess, steps: int, kernel: Callable[[float, float], Tensor]) -> Tensor:
    """The law after uniform steps, for kernels from (s, t)."""
    return run_chain(pure_noise(process), [kernel(s, t) for s, t in uniform_times(steps)])


ABSORBING = process_of("absorbing")


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_random_accept(steps: int, schedule: str) -> None:
    process = process_of("absorbing", schedule=schedule)

    def kernel(s: float, t: float) -> Tensor:
        alpha_s, alpha_t = process.schedule.alpha(torch.tensor([s, t], dtype=torch.float64)).tolist()
        return chains.remdm(VOCABULARY, wild(t), alpha_s, alpha_t, 0.0)

    assert (
        p_value(Sampler(steps=steps, accept=RandomAccept()), process, wild, chain(process, steps, kernel)) > ERROR_RATE
    )


@pytest.mark.statistical
@pytest.mark.parametrize("cap", [0.1, 1.0])
def test_remdm_cap(cap: float) -> None:
    def kernel(s: float, t: float) -> Tensor:
        sigma = min(cap, s / (1 - t)) if t < 1 else cap
        return chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, sigma)

    sampler = Sampler(steps=6, renoise=RemdmCapRenoise(cap=cap))
    assert p_value(sampler, ABSORBING, wild, chain(ABSORBING, 6, kernel)) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_remdm_rescale(eta: float) -> None:
    def kernel(s: float, t: float) -> Tensor:
        return chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, eta * min(1.0, s / max(1 - t, 1e-12)))

    sampler = Sampler(steps=6, renoise=RemdmRescaleRenoise(eta=eta))
    assert p_value(sampler, ABSORBING, wild, chain(ABSORBING, 6, kernel)) > ERROR_RATE


@pytest.mark.statistical
def test_remdm_loop() -> None:
    """Times 1, 0.4, 0.4, 0.4, 0: tokens go back in the two steps that rest, and in these alone."""
    alphas, cap = [0.0, 0.6, 0.6, 0.6, 1.0], 0.5
    kernels = [
        chains.remdm(VOCABULARY, wild(1 - a), b, a, min(cap, (1 - b) / a) if a == b else 0.0)
        for a, b in pairwise(alphas)
    ]
    sampler = Sampler(steps=4, grid=LoopGrid(alpha=0.6, begins=0.25, ends=0.75), renoise=RemdmLoopRenoise(cap=cap))
    assert p_value(sampler, ABSORBING, wild, run_chain(pure_noise(ABSORBING), kernels)) > ERROR_RATE


@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(steps=6, renoise=RemdmCapRenoise(cap=0.3)),
        Sampler(steps=6, renoise=RemdmRescaleRenoise(eta=0.6)),
        Sampler(steps=6, grid=LoopGrid(alpha=0.6, begins=0.3, ends=0.7), renoise=RemdmLoopRenoise(cap=0.3)),
    ],
    ids=["cap", "rescale", "loop"],
)
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_remdm_keeps_the_marginals(sampler: Sampler, schedule: str) -> None:
    """After each step a share alpha_s of 200,000 tokens stands, although many went back; to 4.5 standard errors."""
    process, left, revised = process_of("absorbing", schedule=schedule), list[Tensor](), list[Tensor]()

    def note(event: Event) -> None:
        left.append(event.noisy.double().mean())
        revised.append(event.noisy)

    canvas = canvas_of(torch.zeros(100, 2000, dtype=torch.long))
    logits = torch.zeros(VOCABULARY.size).masked_fill(~VOCABULARY.writable(), -torch.inf)
    sampler.sample(lambda x_t, t, canvas, where: logits.expand(int(where.sum()), -1), process, canvas, on_step=note)
    times = torch.arange(5, -1, -1, dtype=torch.float64) / 6
    expected = 1 - process.schedule.alpha(times)
    if isinstance(sampler.grid, LoopGrid):
        # What rises evenly for 1.8 of the 6 steps, rests, and rises in the last 1.8.
        expected = 1 - torch.tensor([0.6 / 1.8, 0.6, 0.6, 0.6, 0.6 + 0.4 * 0.8 / 1.8, 1.0], dtype=torch.float64)
    error = (expected * (1 - expected) / 200_000).sqrt()
    assert ((torch.stack(left) - expected).abs() <= 4.5 * error).all()
    assert any((after & ~before).any() for before, after in pairwise(revised))


@pytest.mark.statistical
def test_remdm_confidence() -> None:
    """The chain of all (ids, probabilities when they settled): both settled tokens share what sigma there is."""
    steps, mask = 4, VOCABULARY.mask_id
    law = {((mask, mask), (0.0, 0.0)): 1.0}
    for s, t in uniform_times(steps):
        sigma = 0.0 if s == 0 else min(1.0, s / max(1 - t, 1e-12))
        law = chains.remdm_confidence(VOCABULARY, wild(t), law, (t - s) / t, sigma)
    sampler = Sampler(steps=steps, renoise=RemdmConfidenceRenoise())
    assert p_value(sampler, ABSORBING, wild, end_of(law)) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_mask_predict(steps: int) -> None:
    """The chain of all (ids, probabilities when they were written); with 3 and 5 steps settled tokens go back to noise."""
    law = {((VOCABULARY.mask_id,) * 2, (0.0, 0.0)): 1.0}
    for s, t in uniform_times(steps):
        law = chains.mask_predict(VOCABULARY, wild(t), law, round(2 * s))
    sampler = Sampler(steps=steps, transition=MaskPredictTransition())
    assert p_value(sampler, ABSORBING, wild, end_of(law)) > ERROR_RATE


def end_of(law: chains.Remembered) -> Tensor:
    """The law over the 16 sequences, [16]."""
    expected = torch.zeros(16, dtype=torch.float64)
    for (ids, _), probability in law.items():
        expected[LANGUAGE.index(torch.tensor([ids]))] += probability
    return expected


@pytest.mark.statistical
def test_equal_alpha_grid() -> None:
    """With the cosine schedule: the kernels of alpha = 0, 1/4, ... 1, whose times the schedule tells."""
    process = process_of("absorbing", schedule="cosine")
    alphas = torch.linspace(0, 1, 5, dtype=torch.float64)
    times = process.schedule.inverse(alphas).tolist()
    kernels = [chains.remdm(VOCABULARY, wild(times[k]), float(alphas[k + 1]), float(alphas[k]), 0.0) for k in range(4)]
    expected = run_chain(pure_noise(process), kernels)
    assert p_value(Sampler(steps=4, grid=EqualAlphaGrid()), process, wild, expected) > ERROR_RATE


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
    expected = chain(process, 4, lambda s, t: chains.posterior(process, wild(t), s, t))
    assert p_value(Sampler(steps=4, transition=PosteriorTransition()), process, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "threshold"), [("absorbing", 1.25), ("uniform", 1.0)])
def test_entropy_stop(name: str, threshold: float) -> None:
    """Rows in states of little entropy jump to time 0 and stay there; the law of the others goes on."""
    process = process_of(name)
    law, ended, shares = pure_noise(process), torch.zeros(VOCABULARY.size**2, dtype=torch.float64), list[float]()
    for s, t in uniform_times(4):
        ends = chains.mean_entropy(process, wild(t), t) < threshold
        shares.append(float(law[ends].sum() / law.sum()))
        ended += step_of(torch.where(ends, law, 0.0), chains.posterior(process, wild(t), 0.0, t))
        law = step_of(torch.where(ends, 0.0, law), chains.posterior(process, wild(t), s, t))
    expected = (ended + law)[state_number(LANGUAGE.sequences, VOCABULARY)]
    assert any(0.1 < share < 0.9 for share in shares)
    sampler = Sampler(steps=4, transition=PosteriorTransition(), stop=EntropyStop(threshold))
    assert p_value(sampler, process, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [2, 3])
@pytest.mark.parametrize(
    ("accept", "score"),
    [
        (TopKAccept(), chains.confidence),
        (TopProbabilityAccept(), chains.top_probability),
        (MarginAccept(), chains.margin),
        (EntropyAccept(), chains.certainty),
    ],
)
def test_ranked_accept(accept: Accept, score: chains.Score, steps: int) -> None:
    expected = chain(ABSORBING, steps, lambda s, t: chains.ranked(VOCABULARY, wild(t), round(2 * s), score))
    assert p_value(Sampler(steps=steps, accept=accept), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
def test_top_k_with_randomness() -> None:
    """At s = 1/2 the noise has half its scale; the second step settles what is left."""
    expected = chain(ABSORBING, 2, lambda s, t: chains.noisy_ranks(VOCABULARY, wild(t), 3.0 * 0.5))
    assert p_value(Sampler(steps=2, accept=TopKAccept(randomness=3.0)), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_threshold_accept(probability: float) -> None:
    expected = chain(ABSORBING, 2, lambda s, t: chains.threshold(VOCABULARY, wild(t), probability))
    assert p_value(Sampler(steps=2, accept=ThresholdAccept(probability)), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize(("kl", "sure"), [(0.0, 0.35), (math.inf, 0.35), (math.inf, 0.4)])
def test_klass_accept(kl: float, sure: float) -> None:
    """Without a bound both tokens settle at once where the network is sure of both; with the tightest, one at a time."""
    least = sure if kl else 1.0
    expected = chain(ABSORBING, 2, lambda s, t: chains.threshold(VOCABULARY, wild(t), least, chains.top_probability))
    assert p_value(Sampler(steps=2, accept=KlassAccept(sure, kl)), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("gamma", [0.0, 1.2, 1.4, 9.0])
def test_entropy_bound_accept(gamma: float) -> None:
    expected = chain(ABSORBING, 2, lambda s, t: chains.entropy_bound(VOCABULARY, wild(t), gamma))
    assert p_value(Sampler(steps=2, accept=EntropyBoundAccept(gamma)), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("bound", [0.5, 1.8, 2.2, 9.0])
def test_factor_accept(bound: float) -> None:
    expected = chain(ABSORBING, 2, lambda s, t: chains.factor(VOCABULARY, wild(t), bound))
    assert p_value(Sampler(steps=2, accept=FactorAccept(bound)), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
def test_first_hitting_accept_on_a_grid() -> None:
    """One position in the first of two steps, what is left in the second."""
    expected = chain(ABSORBING, 2, lambda s, t: chains.one_at_a_time(VOCABULARY, wild(t)))
    assert p_value(Sampler(steps=2, accept=FirstHittingAccept()), ABSORBING, wild, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", [Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()), Sampler(steps=2)])
def test_first_hitting_has_the_law_of_the_data(sampler: Sampler) -> None:
    """Exactly, with the exact denoiser; two ancestral steps do not, which shows that the test can tell."""
    right = isinstance(sampler.grid, FirstHittingGrid)
    found = p_value(sampler, ABSORBING, timeless(ABSORBING), LANGUAGE.probabilities)
    assert (found > ERROR_RATE) == right


@pytest.mark.statistical
def test_first_hitting_has_the_law_of_many_ancestral_steps() -> None:
    """Also for a denoiser that is far from exact and heeds the time: the limit is the chain's, with 2,000 steps."""
    early, late = wild(0.0), wild(1.0)

    def kernel(s: float, t: float) -> Tensor:
        return chains.remdm(VOCABULARY, (1 - t) * early + t * late, 1 - s, 1 - t, 0.0)

    expected = chain(ABSORBING, 2000, kernel)

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        number, time = state_number(x_t, VOCABULARY), t.view(-1, 1, 1)
        return ((1 - time) * early[number] + time * late[number]).log()[where]

    canvas = canvas_of(torch.zeros(ROWS, 2, dtype=torch.long), seed=5)
    ids = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()).sample(denoise, ABSORBING, canvas).ids
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


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("accept", "exact"),
    [
        (TopProbabilityAccept(), True),
        (MarginAccept(), True),
        (EntropyAccept(), True),
        (EntropyBoundAccept(gamma=0.0), True),
        (TopKAccept(), False),
        (ThresholdAccept(), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_orders_that_do_not_look_at_the_draw_are_exact_one_at_a_time(accept: Accept, exact: bool) -> None:
    """Ranking what was drawn prefers probable texts; other orders do not."""
    sampler, laws = Sampler(steps=2, accept=accept), timeless(ABSORBING)
    assert (p_value(sampler, ABSORBING, laws, LANGUAGE.probabilities) > ERROR_RATE) is exact


def other(t: float) -> Tensor:
    """The laws of another network."""
    return wild(t + 2)


def weight_at(guidance: Guidance, t: float) -> float:
    return guidance.weight if guidance.schedule == "constant" else 1 + (guidance.weight - 1) * (1 - t)


@pytest.mark.statistical
@pytest.mark.parametrize("guidance", [Guidance(0.0), Guidance(0.4), Guidance(2.5), Guidance(3.0, "rising")])
def test_guidance_with_absorbing_noise_combines_the_laws_of_x_0(guidance: Guidance) -> None:
    def kernel(s: float, t: float) -> Tensor:
        return chains.posterior(ABSORBING, chains.guided(wild(t), other(t), weight_at(guidance, t)), s, t)

    for sampler in (Sampler(steps=3), Sampler(steps=3, transition=PosteriorTransition())):
        found = p_value(
            replace(sampler, guidance=guidance),
            ABSORBING,
            wild,
            chain(ABSORBING, 3, kernel),
            from_table(other, VOCABULARY),
        )
        assert found > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["uniform", "hybrid"])
@pytest.mark.parametrize("guidance", [Guidance(0.0), Guidance(2.5), Guidance(3.0, "rising")])
def test_guidance_with_other_noise_combines_the_laws_of_x_s(name: str, guidance: Guidance) -> None:
    process = process_of(name)

    def kernel(s: float, t: float) -> Tensor:
        sides = [chains.moves(process, laws, s, t) for laws in (wild(t), other(t))]
        return chains.independent(chains.guided(*sides, weight_at(guidance, t)), states(VOCABULARY, 2))

    sampler = Sampler(steps=3, transition=PosteriorTransition(), guidance=guidance)
    assert p_value(sampler, process, wild, chain(process, 3, kernel), from_table(other, VOCABULARY)) > ERROR_RATE


def test_without_guidance_nobody_asks_the_weak_side() -> None:
    """Weight 1 is the strong side's law at its own price; 0 is the weak side's, draw for draw, and both are counted."""

    def never(*_: object) -> Tensor:
        raise AssertionError("the weak side was asked")

    canvas = canvas_of(torch.zeros(50, 2, dtype=torch.long))
    strong, weak = from_table(wild, VOCABULARY), from_table(other, VOCABULARY)
    plain = Sampler(steps=3)
    for name in ("absorbing", "uniform"):
        process = process_of(name)
        own = replace(plain, guidance=Guidance(1.0)).sample(strong, process, canvas, weak=never)
        assert torch.equal(own.ids, plain.sample(strong, process, canvas).ids)
        found = replace(plain, guidance=Guidance(0.0)).sample(strong, process, canvas, weak=weak)
        expected = plain.sample(weak, process, canvas)
        assert torch.equal(found.ids, expected.ids)
        assert torch.equal(found.nfe, 2 * expected.nfe)


def test_guidance_of_what_one_side_holds_impossible() -> None:
    never = -torch.inf
    strong = torch.tensor([[never, 0.5, 0.5, 0.0, never]]).log_softmax(-1)
    weak = torch.tensor([[never, 0.5, 0.0, never, 0.5]]).log_softmax(-1)
    t = torch.zeros(1, dtype=torch.float64)
    more, less = (Guidance(w).combined(strong, weak, t).exp()[0] for w in (2.0, 0.5))
    assert more.tolist() == [0, 0, 0, 1, 0]
    assert less.gt(0).tolist() == [False, True, True, False, False]
    torch.testing.assert_close(Guidance(0.0).combined(strong, weak, t).exp(), weak.exp())


@pytest.mark.statistical
@pytest.mark.parametrize("gamma", [0.0, 1.3])
def test_the_adaptive_grid_tells_the_time_by_the_noise_that_is_left(gamma: float) -> None:
    """Both tokens at time 1, then one of two at 1/2; what has settled at once is not asked about again."""
    kernels = [chains.entropy_bound(VOCABULARY, wild(t), gamma) for t in (1.0, 0.5)]
    sampler = Sampler(steps=1, grid=AdaptiveGrid(), accept=EntropyBoundAccept(gamma=gamma))
    assert p_value(sampler, ABSORBING, wild, run_chain(pure_noise(ABSORBING), kernels)) > ERROR_RATE


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_thousand_steps_over_fifty_thousand_ids_bend_no_law(dtype: torch.dtype) -> None:
    """20,000 tokens of a Zipf law, in 400 groups of ids that are alike: a Gumbel in single precision would show here."""
    vocabulary = Vocabulary(size=50_001, special_ids=(0,), mask_id=0)
    shuffled = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))
    weights = -1.1 * torch.arange(1, 50_001, dtype=torch.float64).log()[shuffled]
    log_p = torch.cat([torch.tensor([-torch.inf]), weights.log_softmax(0)])
    law = log_p.exp()
    order = law.argsort(descending=True)
    group = torch.empty(50_001, dtype=torch.long)
    group[order] = (law[order].cumsum(0) * 400).long().clamp(max=399)
    expected = torch.zeros(400, dtype=torch.float64).index_add(0, group, law) * 20_000
    logits = log_p.to(dtype)
    samples = Sampler(steps=1000).sample(
        lambda x_t, t, canvas, where: logits.expand(int(where.sum()), -1),
        build(ForwardProcess, "absorbing", vocabulary=vocabulary),
        canvas_of(torch.zeros(20, 1000, dtype=torch.long)),
    )
    found = torch.bincount(group[samples.ids.flatten()], minlength=400)
    kept = expected > 0
    assert found[~kept].sum() == 0
    assert scipy.stats.chisquare(found[kept], expected[kept]).pvalue > ERROR_RATE
