"""Psi samplers: their kernels, what they keep, what they are for absorbing noise; and Duo's greedy tail."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table, state_number, states, tabulate
from oracles import VOCABULARY, ToyLanguage, canvas_of, transitions
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, Step, preset
from textdiff.sampling.grids import TailGrid, UniformGrid
from textdiff.sampling.renoise import NeverRenoise, PsiRenoise, RemdmCapRenoise, RemdmRescaleRenoise, Renoise
from textdiff.sampling.step import begin_step
from textdiff.sampling.transitions import AcceptTransition, PosteriorTransition, PsiTransition
from textdiff.sampling.warps import GreedyTailWarp

LANGUAGE = ToyLanguage.random(length=2, seed=3)
STATES = states(VOCABULARY, 2)
ROWS = 30_000
NOISES = [
    {"name": "absorbing"},
    {"name": "absorbing", "schedule": "cosine"},
    {"name": "uniform"},
    {"name": "uniform", "schedule": "cosine"},
    {"name": "hybrid", "mask_share": 0.3, "final_mask_share": 0.9},
    {"name": "matrix", "kind": "banded", "steps": 10},
    {"name": "matrix", "kind": "absorbing", "steps": 10},
]


def process_of(config: dict[str, object] | str) -> ForwardProcess:
    return build(ForwardProcess, config, vocabulary=VOCABULARY)


@lru_cache(maxsize=16)
def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.6 * torch.randn(len(STATES), 2, VOCABULARY.size, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


def step_of(process: ForwardProcess, s: float, t: float, renoise: Renoise) -> Step:
    """All states as the rows of a step, everything noisy, with the sigma of a policy."""
    number, every = torch.zeros(len(STATES), dtype=torch.long), torch.ones_like(STATES, dtype=torch.bool)
    time = torch.full((len(STATES),), t, dtype=torch.float64)
    zeros = torch.zeros_like(STATES, dtype=torch.float64)
    step = begin_step(process, Draws.seeded(number), number, 4, STATES, every, every, every, time, zeros)
    step = replace(step.planned(every, every), s=torch.full_like(time, s))
    return replace(step, sigma=PsiTransition().bounded(step, renoise.probability(step)))


def kernel_of(process: ForwardProcess, laws: Tensor, s: float, t: float, renoise: Renoise) -> Tensor:
    """What the transition itself says, [S, L, V]; states that are possible for no noise are NaN."""
    law = PsiTransition().kernel(step_of(process, s, t, renoise), laws.log().flatten(0, 1))
    return law.exp().view(len(STATES), 2, -1)


def psi_moves(process: ForwardProcess, laws: Tensor, s: float, t: float, kappa: float) -> Tensor:
    """By Bayes and the noise's own matrices."""
    again = chains.moves(process, laws, 0.0, t) @ transitions(process, 0.0, s)
    return kappa * chains.moves(process, laws, s, t) + (1 - kappa) * again


def possible(process: ForwardProcess, t: float) -> Tensor:
    """Bool [S]: the states that occur at t."""
    return LANGUAGE.noisy(process, t, STATES).sum(0) > 0


@pytest.mark.parametrize("kappa", [0.0, 0.4, 0.95, 1.0])
@pytest.mark.parametrize("config", NOISES, ids=str)
def test_the_kernel_is_the_mixture_of_its_definition(config: dict[str, object], kappa: float) -> None:
    process = process_of(config)
    for s, t in ((0.2, 0.5), (0.5, 1.0), (0.4, 0.4), (0.0, 0.3)):
        occurs = possible(process, t)
        found = kernel_of(process, wild(t), s, t, PsiRenoise(kappa))[occurs]
        torch.testing.assert_close(found, psi_moves(process, wild(t), s, t, kappa)[occurs])
        torch.testing.assert_close(found.sum(-1), torch.ones_like(found.sum(-1)))


@pytest.mark.parametrize("kappa", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_with_masks_it_is_remdm(schedule: str, kappa: float) -> None:
    """Exactly, with sigma = (1 - kappa)(1 - alpha_s): the chain of the definition is the chain of ReMDM's Eq. 4."""
    process = process_of({"name": "absorbing", "schedule": schedule})
    for s, t in ((0.2, 0.5), (0.1, 0.9), (0.4, 0.4)):
        alpha_s, alpha_t = process.schedule.alpha(torch.tensor([s, t], dtype=torch.float64)).tolist()
        psi = chains.independent(psi_moves(process, wild(t), s, t, kappa), STATES)
        remdm = chains.remdm(VOCABULARY, wild(t), alpha_s, alpha_t, (1 - kappa) * (1 - alpha_s))
        occurs = possible(process, t)
        torch.testing.assert_close(psi[occurs], remdm[occurs])


def noisy_law(process: ForwardProcess, t: float) -> Tensor:
    """q_t of all states, [S]."""
    return LANGUAGE.probabilities @ LANGUAGE.noisy(process, t, STATES)


@pytest.mark.parametrize("renoise", [PsiRenoise(0.0), PsiRenoise(0.7), RemdmRescaleRenoise(0.8), RemdmCapRenoise(1.0)])
@pytest.mark.parametrize("config", NOISES, ids=str)
def test_the_marginals_are_kept_by_an_exact_denoiser(config: dict[str, object], renoise: Renoise) -> None:
    """From q_t every position comes to its q_s. With a pair of them drawn side by side no more can be asked."""
    process = process_of(config)
    for s, t in ((0.2, 0.5), (0.5, 0.6), (0.4, 0.4), (0.8, 0.9)):
        laws = tabulate(LANGUAGE.denoiser(process), VOCABULARY, 2, t)
        law, expected = noisy_law(process, t), noisy_law(process, s)
        moved = torch.where(law.view(-1, 1, 1) > 0, kernel_of(process, laws, s, t, renoise), 0.0)
        for place in range(2):
            found = law @ moved[:, place]
            marginal = torch.zeros_like(found).index_add(0, STATES[:, place], expected)
            torch.testing.assert_close(found, marginal, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("config", [noise for noise in NOISES if noise["name"] != "uniform"], ids=str)
def test_kappa_1_is_the_posterior(config: dict[str, object]) -> None:
    """Draw for draw. Of uniform noise the posterior draws in other pieces, with the law that the kernel has above."""
    process, canvas = process_of(config), canvas_of(torch.zeros(300, 2, dtype=torch.long))
    expected = Sampler(steps=5, transition=PosteriorTransition()).sample(from_table(wild, VOCABULARY), process, canvas)
    for renoise in (NeverRenoise(), PsiRenoise(1.0)):
        sampler = Sampler(steps=5, transition=PsiTransition(), renoise=renoise)
        assert torch.equal(sampler.sample(from_table(wild, VOCABULARY), process, canvas).ids, expected.ids)


def pure_noise(process: ForwardProcess) -> Tensor:
    return transitions(process, 0.0, 1.0)[2][STATES].prod(-1)


def ends_as(sampler: Sampler, process: ForwardProcess, kernels: list[Tensor]) -> float:
    """The p-value of Pearson's test that the sampler's rows come from the chain of these kernels."""
    law = pure_noise(process)
    for kernel in kernels:
        law = (law[:, None] * torch.where(law[:, None] > 0, kernel, 0.0)).sum(0)
    expected = law[state_number(LANGUAGE.sequences, VOCABULARY)] * ROWS
    ids = sampler.sample(from_table(wild, VOCABULARY), process, canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    assert expected.min() > 5
    return float(scipy.stats.chisquare(counts, expected).pvalue)


TIMES = [((3 - k) / 4, (4 - k) / 4) for k in range(4)]


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("kappa", [0.2, 0.8])
def test_the_sampler_has_the_law_of_its_chain(name: str, kappa: float) -> None:
    """With masks also where the loop sends tokens back and accepts others instead: the transition `accept`."""
    process, renoise = process_of(name), PsiRenoise(kappa, begins=0.75, ends=0.25)
    kernels = [
        chains.independent(
            psi_moves(process, wild(t), s, t, kappa if 0.25 < t <= 0.75 and s > 0 else 1.0).nan_to_num(), STATES
        )
        for s, t in TIMES
    ]
    for transition in (PsiTransition(), AcceptTransition())[: 2 if name == "absorbing" else 1]:
        sampler = Sampler(steps=4, transition=transition, renoise=renoise)
        assert ends_as(sampler, process, kernels) > 1e-4


def test_when_a_constant_kappa_acts() -> None:
    """In steps that start at `begins` or later, and after `ends`."""
    renoise = PsiRenoise(0.6, begins=0.75, ends=0.25)
    found = {
        t: float(renoise.probability(step_of(process_of("uniform"), t - 0.1, t, renoise))[0, 0])
        for t in (0.8, 0.75, 0.3, 0.25)
    }
    assert found == pytest.approx({0.8: 0.0, 0.75: 0.4 * 0.65, 0.3: 0.4 * 0.2, 0.25: 0.0})


@pytest.mark.statistical
def test_too_much_is_bounded_alike_for_masks_and_for_tokens() -> None:
    """ReMDM's largest sigma is more than any kappa stands for; what goes back is then what settling makes up for."""
    process = process_of("absorbing")
    kernels = [chains.independent(psi_moves(process, wild(t), s, t, 0.0 if s else 1.0), STATES) for s, t in TIMES]
    sampler = Sampler(steps=4, transition=PsiTransition(), renoise=RemdmCapRenoise(1.0))
    assert ends_as(sampler, process, kernels) > 1e-4


def test_the_greedy_tail_writes_what_the_rest_makes_most_probable() -> None:
    """In the last step every token is the best of the leave-one-out law, whatever stood there; before it nothing changes."""
    process, seen = process_of("uniform"), dict[tuple[float, int], list[int]]()

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        seen.update(zip(zip(t.tolist(), canvas.seeds.tolist(), strict=True), x_t.tolist(), strict=True))
        return torch.cat(  # rows where nothing moves go ahead of the others, so that a call has several times
            [
                from_table(wild, VOCABULARY)(x_t[row], t[row], canvas.rows(row), where[row])
                for row in torch.arange(len(x_t)).split(1)
            ]
        )

    canvas = canvas_of(torch.zeros(200, 2, dtype=torch.long))
    sampler = replace(preset("duo"), steps=5)
    ids = sampler.sample(noting, process, canvas).ids
    times = sorted({t for t, _ in seen}, reverse=True)
    assert times == pytest.approx([1.0, 0.7500025, 0.500005, 0.2500075, 1e-5], rel=1e-9)
    last = torch.tensor([seen[times[-1], row] for row in range(200)])
    best = wild(times[-1])[state_number(last, VOCABULARY)].argmax(-1)
    assert torch.equal(ids, best) and (ids != last).any()
    plain = replace(sampler, warps=())
    again = dict(seen)
    seen.clear()
    plain.sample(noting, process, canvas)
    assert seen == again
    assert torch.equal(
        TailGrid().next(step_of(process, 0.0, 1.0, NeverRenoise())),
        torch.full((36,), 1e-5 + (1 - 1e-5) * 2 / 3, dtype=torch.float64),
    )


def test_a_greedy_tail_is_greedy_for_rows_at_their_end_only() -> None:
    step = step_of(process_of("uniform"), 0.0, 0.5, NeverRenoise())
    step = replace(step, s=torch.where(torch.arange(len(STATES)) % 2 == 0, 0.0, 0.25))
    log_p = wild(0.5).log().flatten(0, 1).float()
    for warped in (GreedyTailWarp().at(step)(log_p), GreedyTailWarp().at(step).softened(log_p)):
        assert torch.equal(warped[~step.last], log_p[~step.last])
        assert torch.equal(warped[step.last].argmax(-1), log_p[step.last].argmax(-1))
        assert (warped[step.last].exp().amax(-1) == 1).all()
    assert ((warped > -torch.inf) == (log_p > -torch.inf)).all()


def test_one_step_of_the_tail_grid_is_the_only_one() -> None:
    network = from_table(wild(1.0), VOCABULARY)
    canvas = canvas_of(torch.zeros(5, 2, dtype=torch.long))
    found, expected = (
        Sampler(steps=1, grid=grid).sample(network, process_of("absorbing"), canvas)
        for grid in (TailGrid(), UniformGrid())
    )
    assert torch.equal(found.ids, expected.ids) and found.nfe.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"transition": "psi", "accept": "top_k"}, "the psi transition decides alone what settles: leave accept out"),
        ({"transition": "posterior", "renoise": "psi"}, "leave accept and renoise out"),
        ({"renoise": {"name": "psi", "kappa": 1.5}}, "kappa must be from 0 to 1"),
        ({"renoise": {"name": "psi", "begins": 0.1, "ends": 0.5}}, "1 >= begins > ends >= 0"),
        ({"grid": {"name": "tail", "begins": 0}}, "begins must be above 0 and below 1"),
    ],
)
def test_wrong_options_are_errors(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, config)
