"""Transitions that follow the rates of reversed time, against rates and chains that are written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import chains
import pytest
import torch
from fakes import from_table, state_number, states, wild_denoiser
from oracles import VOCABULARY, canvas_of, transitions
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from, check_all
from test_sampling_chain import ERROR_RATE, LANGUAGE, chain, laws_at, p_value, process_of, wild
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, preset
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.step import Step, Stream, begin_step
from textdiff.sampling.transitions import EulerTransition, PosteriorTransition, TauLeapingTransition
from textdiff.sampling.transitions.even import left_over, may_move
from textdiff.sampling.transitions.kernel import KernelTransition

PROCESSES: list[tuple[str, dict[str, object]]] = [
    ("absorbing", {}),
    ("absorbing", {"schedule": "cosine"}),
    ("uniform", {}),
    ("uniform", {"schedule": "cosine"}),
    ("hybrid", {"mask_share": 0.3, "final_mask_share": 0.9}),
]
LEAVES: dict[str, tuple[KernelTransition, Callable[[Tensor], Tensor]]] = {
    "euler": (EulerTransition(), lambda jumps: jumps.clamp(max=1)),
    "rejected": (TauLeapingTransition(), lambda jumps: jumps * torch.exp(-jumps)),
    "first": (TauLeapingTransition("first"), lambda jumps: 1 - torch.exp(-jumps)),
}


def noisy_states(process: ForwardProcess) -> tuple[Tensor, Tensor]:
    """All states, Long [S, 2], and what noise they show, Bool [S, 2]: only states that the process can be in."""
    ids = states(VOCABULARY, 2)
    possible = transitions(process, 0.0, 0.5)[2:].sum(0)[ids].gt(0).all(-1)
    ids = ids[possible]
    return ids, process.scored(ids, torch.ones_like(ids, dtype=torch.bool))


def step_of(process: ForwardProcess, s: float, t: float) -> Step:
    """A step of all states, planned where they show noise."""
    ids, noisy = noisy_states(process)
    rows = len(ids)
    zeros = torch.zeros(rows, dtype=torch.long)
    free = torch.ones_like(noisy)
    time = torch.full((rows,), t, dtype=torch.float64)
    draws = Draws.seeded(range(rows))
    step = begin_step(process, draws, zeros, 4, ids, noisy, free, free, time, torch.zeros(rows, 2, dtype=torch.float64))
    return replace(step, s=torch.full_like(time, s)).planned(noisy, noisy)


def kernel_of(transition: KernelTransition, process: ForwardProcess, laws: Tensor, s: float, t: float) -> Tensor:
    """The transition's own p(x_s | x_t) at each noisy position of each state, [N, V], with the laws [N, V] behind it."""
    ids, noisy = noisy_states(process)
    log_p_x0 = laws[state_number(ids, VOCABULARY)][noisy].log()
    return transition.kernel(step_of(process, s, t), log_p_x0).exp()


@pytest.mark.parametrize(("s", "t"), [(0.3, 0.31), (0.5, 0.9), (0.0, 0.4)])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_what_stays_in_any_case_and_what_is_left_over_are_the_posterior(schedule: str, s: float, t: float) -> None:
    """p(x_s | x_t) = P(stays in any case) 1[x_s = x_t] + P(may move) times the normalised rest."""
    process = process_of("uniform", schedule=schedule)
    step, expected = step_of(process, s, t), kernel_of(PosteriorTransition(), process, wild(t), s, t)
    alpha_s, alpha_t = (float(process.schedule.alpha(torch.tensor(time, dtype=torch.float64))) for time in (s, t))
    moves, stays = 1 - alpha_t / alpha_s, alpha_t / alpha_s * (1 - alpha_s)
    assert torch.equal(may_move(step), step.uniform(Stream.ACCEPT) < moves / (moves + stays))
    surely = torch.nn.functional.one_hot(step.pack(step.x_t), VOCABULARY.size).double() * stays / (moves + stays)
    rest = left_over(step, expected.log()).softmax(-1) * moves / (moves + stays)
    torch.testing.assert_close(surely + rest, expected, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize(("s", "t"), [(0.3, 0.31), (0.5, 0.9), (0.75, 1.0), (0.0, 0.4), (0.6, 0.6)])
@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize(("process", "options"), PROCESSES)
def test_one_step_is_the_formula(process: str, options: dict[str, object], name: str, s: float, t: float) -> None:
    """With forward rates by differences of the forward kernel, and p_t by summing over x_0."""
    noise, laws = process_of(process, **options), wild(t)
    transition, leaves = LEAVES[name]
    found = kernel_of(transition, noise, laws, s, t)
    ids, noisy = noisy_states(noise)
    if s == 0:
        expected = chains.moves(noise, laws, s, t)
    else:
        rates = chains.reverse_rates(noise, laws, t)
        total = rates.sum(-1, keepdim=True)
        moved = torch.where(total > 0, leaves(total * (t - s)) * rates / total, 0.0)
        stays = 1 - moved.sum(-1, keepdim=True)
        expected = moved.scatter(-1, states(VOCABULARY, 2).unsqueeze(-1), stays)
    torch.testing.assert_close(found, expected[state_number(ids, VOCABULARY)][noisy], atol=2e-5, rtol=1e-4)


def test_euler_is_exact_for_masks_that_go_evenly_and_for_these_alone() -> None:
    same = {}
    for process, options in PROCESSES:
        noise = process_of(process, **options)
        pair = [kernel_of(made, noise, wild(0.8), 0.5, 0.8) for made in (EulerTransition(), PosteriorTransition())]
        same[process, bool(options)] = float((pair[0] - pair[1]).abs().max()) < 1e-12
    assert same.pop(("absorbing", False))
    assert len(same) == 4 and not any(same.values())


@pytest.mark.parametrize(("s", "t"), [(0.3, 0.31), (0.5, 0.9), (0.0, 0.4)])
@pytest.mark.parametrize(("process", "options"), PROCESSES)
def test_the_analytic_step_is_the_posterior(process: str, options: dict[str, object], s: float, t: float) -> None:
    """SEDD's: the forward kernel from s to t undone on the ratios p_t(j) / p_t(z), times its entry q(z | j)."""
    noise, laws = process_of(process, **options), wild(t)
    ids, noisy = noisy_states(noise)
    at_t = laws @ transitions(noise, 0.0, t)
    expected = analytic(noise, at_t / at_t.gather(-1, states(VOCABULARY, 2).unsqueeze(-1)), s, t)
    found = kernel_of(PosteriorTransition(), noise, laws, s, t)
    torch.testing.assert_close(found, expected[state_number(ids, VOCABULARY)][noisy], atol=1e-9, rtol=1e-7)


def analytic(process: ForwardProcess, ratios: Tensor, s: float, t: float) -> Tensor:
    """SEDD, arXiv 2310.16834, section 4.1, [S, L, V]: normalised, as its authors draw from it."""
    forward = transitions(process, s, t)
    undone = ratios @ torch.linalg.inv(forward)
    weights = undone * forward.T[states(VOCABULARY, 2)]
    return weights / weights.sum(-1, keepdim=True)


def test_the_analytic_step_is_another_one_for_ratios_that_no_law_of_x_0_has() -> None:
    """Masks, ratios twice too high: SEDD writes more tokens, while a law of x_0 cannot say such a thing."""
    noise, s, t = process_of("absorbing"), 0.5, 0.8
    number = int(state_number(torch.tensor([[1, 1]]), VOCABULARY))
    at_t = wild(t) @ transitions(noise, 0.0, t)
    ratios = at_t / at_t[..., 1:2]
    ratios[..., 2:] *= 2
    found = analytic(noise, ratios, s, t)[number, 0, 2:].sum()
    assert float(found) > 1.2 * (t - s) / t


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("process", "options", "name"),
    [
        *[(*each, "euler") for each in PROCESSES],
        ("absorbing", {}, "rejected"),
        ("uniform", {}, "rejected"),
        ("absorbing", {}, "first"),
    ],
)
def test_the_sampler_has_the_law_of_its_chain(process: str, options: dict[str, object], name: str) -> None:
    noise = process_of(process, **options)
    transition, leaves = LEAVES[name]
    expected = chain(noise, 4, lambda s, t: chains.leaping(noise, wild(t), s, t, leaves))
    assert p_value(Sampler(steps=4, transition=transition), noise, wild, expected) > ERROR_RATE


@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize(("process", "options"), [PROCESSES[i] for i in (0, 1, 2, 4)])
def test_the_law_becomes_that_of_the_data(process: str, options: dict[str, object], name: str) -> None:
    """With the exact denoiser, by the chains above: about half the distance in twice the steps."""
    noise, leaves = process_of(process, **options), LEAVES[name][1]

    def distance(steps: int) -> float:
        law = chain(noise, steps, lambda s, t: chains.leaping(noise, laws_at(noise, t), s, t, leaves))
        return float((law - LANGUAGE.probabilities).abs().sum()) / 2

    coarse, fine = distance(32), distance(64)
    assert fine < 0.035
    assert 1.6 < coarse / fine < 2.6


def test_guidance_combines_what_both_sides_would_do() -> None:
    noise, canvas = process_of("uniform"), canvas_of(torch.zeros(4000, 2, dtype=torch.long))
    sides = [from_table(wild, VOCABULARY), from_table(lambda t: wild(t + 2), VOCABULARY)]
    sampler = Sampler(steps=3, transition=EulerTransition())
    weak = replace(sampler, guidance=Guidance(0.0)).sample(sides[0], noise, canvas, weak=sides[1]).ids
    assert torch.equal(weak, sampler.sample(sides[1], noise, canvas).ids)


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid", "block"])
@pytest.mark.parametrize("name", ["euler", "tau_leaping", "analytic"])
def test_presets_with_every_noise_that_has_rates(name: str, process: str) -> None:
    noise = build(ForwardProcess, process, vocabulary=WIDE)
    for steps in (1, 5, 20):
        check_all(
            replace(preset(name), steps=steps), noise, canvas_from([[False] * 7, [True, False, True], []], [1, 2, 3])
        )


def test_noise_in_whole_steps_has_no_rates() -> None:
    noise = build(ForwardProcess, "matrix", vocabulary=WIDE)
    with pytest.raises(ConfigError, match="matrix noise moves in whole steps and has no rates"):
        preset("euler").sample(wild_denoiser(WIDE), noise, canvas_from([[False]], [1]))


def test_expected_jumps_without_bound_are_no_nan() -> None:
    many = torch.tensor([0.0, 1.0, 1e9, math.inf], dtype=torch.float64)
    assert TauLeapingTransition().leaves(many).tolist() == pytest.approx([0, math.exp(-1), 0, 0])
    assert TauLeapingTransition("first").leaves(many).tolist() == pytest.approx([0, 1 - math.exp(-1), 1, 1])
    assert EulerTransition().leaves(many).tolist() == [0, 1, 1, 1]
