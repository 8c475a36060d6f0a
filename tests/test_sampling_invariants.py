"""Laws of sampling that hold for every combination of registered policies."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from, check_all, check_settles, renoises

from textdiff.errors import CheckpointError, ConfigError, DataError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, member, names, to_config
from textdiff.sampling import (
    Accept,
    Event,
    Renoise,
    Sampler,
    Step,
    TimeGrid,
    Transition,
    Warp,
    preset,
    preset_for,
    preset_names,
)
from textdiff.sampling.accept import FirstHittingAccept, TopKAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.transitions import Move, PosteriorTransition

rows = st.lists(st.lists(st.booleans(), min_size=0, max_size=7), min_size=1, max_size=4)
steps = st.integers(1, 9)
seeds = st.integers(-(2**63), 2**63 - 4)
grids = st.sampled_from([name for name in names(TimeGrid) if name not in ("first_hitting", "adaptive")])
OWN_ACCEPT = {"first_hitting": "first_hitting", "adaptive": "threshold"}
"""What grids need that do not go with every policy."""


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


@pytest.mark.parametrize("renoise", renoises(), ids=repr)
@pytest.mark.parametrize("accept", names(Accept))
@settings(max_examples=6)
@given(frozen=rows, steps=steps, seed=seeds, grid=grids, process=st.sampled_from(["absorbing", "uniform", "hybrid"]))
def test_every_accept_with_every_renoise(
    accept: str, renoise: Renoise, frozen: list[list[bool]], steps: int, seed: int, grid: str, process: str
) -> None:
    grid = "loop" if renoise.needs_loop else grid
    sampler = build(Sampler, {"steps": steps, "grid": grid, "accept": accept, "renoise": renoise})
    check_all(sampler, process_of(process), canvas_from(frozen, range(seed, seed + len(frozen))))


@pytest.mark.parametrize(
    "process", sorted(set(names(ForwardProcess)) - {"autoregressive"})
)  # whose tokens have one order
@pytest.mark.parametrize("config", [{"transition": "posterior"}, {"transition": "psi", "renoise": "psi"}], ids=str)
@settings(max_examples=6)
@given(frozen=rows, steps=steps, seed=seeds, grid=grids)
def test_kernels_of_every_process(
    config: dict[str, str], process: str, frozen: list[list[bool]], steps: int, seed: int, grid: str
) -> None:
    sampler = build(Sampler, {"steps": steps, "grid": grid, **config})
    check_all(sampler, process_of(process), canvas_from(frozen, range(seed, seed + len(frozen))))


@pytest.mark.parametrize("renoise", renoises(), ids=repr)
@settings(max_examples=6)
@given(frozen=rows, steps=steps, seed=seeds, process=st.sampled_from(["absorbing", "uniform", "hybrid", "matrix"]))
def test_psi_with_every_renoise(
    renoise: Renoise, frozen: list[list[bool]], steps: int, seed: int, process: str
) -> None:
    for grid in ("loop", "resting") if renoise.needs_loop else ("uniform",):
        sampler = build(Sampler, {"steps": steps, "grid": grid, "transition": "psi", "renoise": renoise})
        check_all(sampler, process_of(process), canvas_from(frozen, range(seed, seed + len(frozen))))


@settings(max_examples=10)
@given(frozen=rows, seed=seeds)
def test_first_hitting_grid(frozen: list[list[bool]], seed: int) -> None:
    sampler = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept())
    check_all(sampler, process_of("absorbing"), canvas_from(frozen, range(seed, seed + len(frozen))))


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("accept", [name for name in names(Accept) if member(Accept, name).settles_some])
@settings(max_examples=6)
@given(frozen=rows, seed=seeds)
def test_adaptive_grid(accept: str, process: str, frozen: list[list[bool]], seed: int) -> None:
    sampler = build(Sampler, {"grid": "adaptive", "accept": accept})
    check_all(sampler, process_of(process), canvas_from(frozen, range(seed, seed + len(frozen))))


@pytest.mark.parametrize("warp", names(Warp))
@pytest.mark.parametrize("transition", names(Transition))
def test_every_warp_with_every_transition(warp: str, transition: str) -> None:
    sampler = build(Sampler, {"steps": 3, "transition": transition, "warps": [warp]})
    for process in ("absorbing", "uniform", "hybrid"):
        check_all(sampler, process_of(process), canvas_from([[False] * 5, [True, False, False]], [1, 2]))


@pytest.mark.parametrize("name", preset_names())
def test_presets(name: str) -> None:
    sampler = preset(name)
    assert build(Sampler, to_config(sampler)) == sampler
    sampler = replace(sampler, steps=min(sampler.steps, 24))
    for process in ("absorbing", "uniform") if sampler.transition.alone else ("absorbing",):
        check_all(sampler, process_of(process), canvas_from([[False] * 9, [True, False, True, False]], [3, 4]))


def test_the_preset_for_a_process_is_one_that_fits_it() -> None:
    assert preset_for(process_of("absorbing")) == "ancestral"
    assert isinstance(preset(preset_for(process_of("uniform"))).transition, PosteriorTransition)
    with pytest.raises(ConfigError, match="Did you mean 'maskgit'"):
        preset("maskgti")


@pytest.mark.parametrize("grid", names(TimeGrid))
@pytest.mark.parametrize("schedule", ["linear", "cosine", {"name": "polynomial", "power": 3.0}])
def test_grids_fall_and_end(grid: str, schedule: object) -> None:
    process = build(ForwardProcess, {"name": "absorbing", "schedule": schedule}, vocabulary=VOCABULARY)
    accept = OWN_ACCEPT.get(grid, "random")
    times = list[torch.Tensor]()
    network = wild_denoiser(VOCABULARY)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        times.append(t)
        return network(x_t, t, canvas, where)

    sampler = build(Sampler, {"steps": 5, "grid": grid, "accept": accept})
    sampler.sample(noting, process, canvas_from([[False] * 6], [11]))
    told = torch.cat(times)
    assert (told > 0).all() and (told <= 1).all() and (told.diff() < 0).all()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_loop_grid_rests_on_the_way(schedule: str) -> None:
    process = build(ForwardProcess, {"name": "absorbing", "schedule": schedule}, vocabulary=VOCABULARY)
    told = list[torch.Tensor]()
    network = wild_denoiser(VOCABULARY)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        told.append(t)
        return network(x_t, t, canvas, where)

    grid, accept = {"name": "loop", "alpha": 0.8, "begins": 0.4, "ends": 0.8}, "top_k"
    renoise = {"name": "remdm_loop", "cap": 0.2}
    sampler = build(Sampler, {"steps": 10, "grid": grid, "accept": accept, "renoise": renoise})
    sampler.sample(noting, process, canvas_from([[False] * 100], [11]))
    alphas = process.schedule.alpha(torch.cat(told))
    torch.testing.assert_close(alphas, torch.tensor([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9]).double())
    assert told[4] == told[8]


def test_cosine_grid_is_the_share_of_noise_whatever_the_schedule() -> None:
    """Confidence policies settle the same numbers of tokens at each step for any schedule."""
    left = {}
    for schedule in ("linear", "cosine", "geometric"):
        process = build(ForwardProcess, {"name": "absorbing", "schedule": schedule}, vocabulary=VOCABULARY)
        counts = list[int]()
        sampler = build(Sampler, {"steps": 4, "grid": "cosine", "accept": "top_k"})
        canvas = canvas_from([[False] * 100], [0])
        sampler.sample(wild_denoiser(VOCABULARY), process, canvas, on_step=lambda e: counts.append(int(e.noisy.sum())))  # noqa: B023
        left[schedule] = counts
    assert left["linear"] == [92, 71, 38, 0]
    assert left["linear"] == left["cosine"] == left["geometric"]


def test_uniform_grid_has_the_times_of_its_fractions() -> None:
    told = list[float]()
    network = wild_denoiser(VOCABULARY)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        told.append(float(t))
        return network(x_t, t, canvas, where)

    sampler = Sampler(steps=4, accept=TopKAccept())
    sampler.sample(noting, process_of("absorbing"), canvas_from([[False] * 8], [0]))
    assert told == [1.0, 0.75, 0.5, 0.25]


def test_network_calls_are_full_although_rows_have_their_own_times() -> None:
    """With 1,000 steps and few tokens, rows wait for each other: hardly more calls than the longest row needs."""
    calls = list[int]()
    network = wild_denoiser(VOCABULARY)

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        calls.append(len(x_t))
        return network(x_t, t, canvas, where)

    samples = Sampler(steps=1000).sample(noting, process_of("absorbing"), canvas_from([[False] * 8] * 16, range(16)))
    assert (samples.nfe <= 8).all()
    assert len(calls) <= 8
    assert samples.steps > 100


def test_nothing_to_write_costs_nothing() -> None:
    canvas = canvas_from([[True, True], []], [0, 1])
    samples = check_settles(Sampler(), process_of("absorbing"), canvas, wild_denoiser(VOCABULARY))
    assert samples.nfe.tolist() == [0, 0]
    assert samples.steps == 0
    empty = canvas.rows(torch.zeros(2, dtype=torch.bool))
    assert Sampler().sample(wild_denoiser(VOCABULARY), process_of("absorbing"), empty).ids.shape == (0, 2)


def test_a_given_mask_stays() -> None:
    """Noise is tracked, not read off the ids: the mask's id where it is given is a token like any other."""
    canvas = canvas_from([[True, False, True]], [5]).with_ids(torch.tensor([[1, 1, 1]]))
    for name in preset_names():
        ids = preset(name).sample(wild_denoiser(VOCABULARY), process_of("absorbing"), canvas).ids
        assert ids[0, 0] == 1 and ids[0, 2] == 1 and ids[0, 1] >= 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"accept": "topk"}, "Did you mean 'top_k'"),
        ({"transition": "posterior", "accept": "margin"}, "leave accept and renoise out"),
        ({"transition": "posterior", "renoise": "remdm_cap"}, "leave accept and renoise out"),
        ({"grid": "adaptive"}, "needs an accept policy that settles some"),
        ({"grid": "adaptive", "accept": "factor", "renoise": "remdm_cap"}, "and no renoise policy"),
        ({"grid": "first_hitting"}, "needs the accept policy first_hitting or left_to_right"),
        ({"grid": "first_hitting", "accept": "first_hitting", "renoise": "remdm_cap"}, "no renoise policy"),
        ({"renoise": {"name": "remdm_cap", "cap": 1.5}}, "cap must be from 0 to 1"),
        ({"accept": {"name": "threshold", "threshold": 0}}, "threshold must be above 0"),
        ({"accept": {"name": "top_k", "randomness": -1}}, "randomness must be a finite number"),
        ({"warps": [{"name": "temperature", "temperature": -0.1}]}, "temperature must be a finite number"),
        ({"warps": [{"name": "temperature", "temperature": float("nan")}]}, "temperature: expected a finite number"),
        ({"warps": [{"name": "top_k", "k": 0}]}, "k must be at least 1"),
        ({"warps": [{"name": "top_p", "p": 1.1}]}, "p must be above 0"),
        ({"warps": [{"name": "min_p", "p": 1.1}]}, "p must be from 0 to 1"),
        ({"accept": {"name": "entropy_bound", "gamma": -0.1}}, "gamma must be a finite number"),
        ({"accept": {"name": "factor", "factor": 0}}, "factor must be a finite number above 0"),
        ({"renoise": "remdm_loop"}, "needs the loop grid"),
        ({"grid": "loop", "renoise": {"name": "remdm_loop", "cap": 1.5}}, "cap must be from 0 to 1"),
        ({"grid": {"name": "loop", "alpha": 1}}, "alpha must be above 0 and below 1"),
        ({"grid": {"name": "loop", "begins": 0.5, "ends": 0.5}}, "0 < begins < ends < 1"),
        ({"renoise": {"name": "remdm_rescale", "eta": 1.5}}, "eta must be from 0 to 1"),
    ],
)
def test_wrong_options_are_errors(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, config)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (float("nan"), CheckpointError, "logits are not finite"),
        (float("inf"), CheckpointError, "logits are not finite"),
        (float("-inf"), DataError, "no token is possible at position 1"),
    ],
)
def test_broken_networks_are_errors(value: float, error: type[Exception], message: str) -> None:
    def broken(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        return torch.full((int(where.sum()), VOCABULARY.size), value)

    with pytest.raises(error, match=message):
        Sampler(steps=1).sample(broken, process_of("absorbing"), canvas_from([[True, False]], [0]))


def test_half_precision_logits_are_widened() -> None:
    network = wild_denoiser(VOCABULARY)
    canvas = canvas_from([[False] * 5], [7])
    halved = Sampler(steps=2).sample(lambda *a: network(*a).bfloat16(), process_of("absorbing"), canvas)
    rounded = Sampler(steps=2).sample(lambda *a: network(*a).bfloat16().float(), process_of("absorbing"), canvas)
    assert torch.equal(halved.ids, rounded.ids) and torch.equal(halved.log_p, rounded.log_p)


def test_remdm_revises_and_ends() -> None:
    """With a high cap tokens do go back to noise on the way, and none does at the end."""
    noisy = list[torch.Tensor]()
    sampler = Sampler(steps=30, renoise=RemdmCapRenoise(cap=0.5))
    canvas = canvas_from([[False] * 30], [1])
    samples = sampler.sample(
        wild_denoiser(VOCABULARY), process_of("absorbing"), canvas, on_step=lambda e: noisy.append(e.noisy)
    )
    assert any((after & ~before).any() for before, after in pairwise(noisy))
    assert (samples.ids != 1).all()


@pytest.mark.parametrize("accept", ["top_k", "margin", "entropy"])
def test_ranked_policies_make_good_what_went_back_to_noise(accept: str) -> None:
    """The number of noisy tokens follows the schedule, although settled ones are renoised on the way."""
    left, revised = list[int](), list[torch.Tensor]()
    sampler = build(Sampler, {"steps": 10, "accept": accept, "renoise": {"name": "remdm_cap", "cap": 0.05}})

    def note(event: Event) -> None:
        left.append(int(event.noisy.sum()))
        revised.append(event.noisy)

    sampler.sample(wild_denoiser(VOCABULARY), process_of("absorbing"), canvas_from([[False] * 30], [1]), on_step=note)
    assert left == [27, 24, 21, 18, 15, 12, 9, 6, 3, 0]
    assert any((after & ~before).any() for before, after in pairwise(revised))


def test_given_tokens_survive_a_rude_policy() -> None:
    """A transition that plans and writes wherever it likes changes nothing outside the free positions."""

    class RudeTransition(Transition):
        def plan(self, step: Step, accept: Accept) -> torch.Tensor:
            return torch.ones_like(step.noisy)

        def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
            return Move(torch.full_like(step.row, 4), torch.ones_like(step.row, dtype=torch.bool))

    def blind(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        return torch.zeros(int(where.sum()), VOCABULARY.size)

    canvas = canvas_from([[True, False, True], [True, False]], [0, 1])
    samples = Sampler(steps=2, transition=RudeTransition()).sample(blind, process_of("absorbing"), canvas)
    assert torch.equal(samples.ids, torch.where(canvas.free, 4, canvas.ids))
    assert (samples.log_p[~canvas.free] == 0).all()
