"""Stop policies: what they leave alone, and what they end, by hand. Their law is in test_sampling_chain.py."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from, check_peers_do_not_matter, check_same_again, check_settles
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, to_config
from textdiff.sampling import Event, Sampler, Stop, preset, preset_names
from textdiff.sampling.accept import EntropyBoundAccept, LeftToRightAccept, TopKAccept
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.samples import Samples
from textdiff.sampling.stops import EntropyStop, StableAndConfidentStop
from textdiff.sampling.transitions import FreshNoiseTransition, PosteriorTransition
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas

NEVER = [
    EntropyStop(0.0),
    StableAndConfidentStop(patience=10**9, threshold=99.0),
    StableAndConfidentStop(threshold=0.0),
]
AT_ONCE = EntropyStop(99.0)
FROZEN = [[False] * 9, [True, False, True, False], [], [False, False, True] * 2]


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def check_same(found: Samples, expected: Samples) -> None:
    assert torch.equal(found.ids, expected.ids)
    torch.testing.assert_close(found.log_p, expected.log_p, rtol=1e-5, atol=1e-6)  # worked out in another way
    assert torch.equal(found.nfe, expected.nfe) and found.steps == expected.steps


@pytest.mark.parametrize("stop", NEVER, ids=["entropy", "patience", "threshold"])
@pytest.mark.parametrize("name", preset_names())
def test_one_that_never_fires_is_none(name: str, stop: Stop) -> None:
    """Draw for draw, step for step and call for call."""
    plain = replace(preset(name), steps=12)
    canvas, network = canvas_from(FROZEN, [1, 2, 3, 4]), wild_denoiser(VOCABULARY)
    for process in ("absorbing", "uniform", "hybrid"):
        if process != "absorbing" and name in ("first_hitting", "left_to_right"):
            continue
        runs = []
        for sampler in (plain, replace(plain, stop=stop)):
            events = list[Event]()
            samples = sampler.sample(network, process_of(process), canvas, on_step=events.append)
            runs.append((samples, events))
        check_same(runs[1][0], runs[0][0])
        for with_stop, without in zip(*(changes(events) for _, events in reversed(runs)), strict=True):
            assert torch.equal(with_stop.ids, without.ids) and torch.equal(with_stop.noisy, without.noisy)


def changes(events: list[Event]) -> list[Event]:
    """Without those in which nothing changes, of which a sampler that plans ahead has none: it leaves such rounds out."""
    pairs = itertools.pairwise(events)
    later = [
        now for before, now in pairs if not (torch.equal(before.ids, now.ids) and torch.equal(before.noisy, now.noisy))
    ]
    return [event for event in (*events[:1], *later) if event.log_p.any()]


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(steps=4, accept=TopKAccept()),
        Sampler(steps=4, accept=EntropyBoundAccept(), renoise=RemdmCapRenoise(0.5), warps=(TemperatureWarp(0.5),)),
        Sampler(steps=4, transition=PosteriorTransition(), guidance=Guidance(2.0)),
        preset("mask_predict"),
        preset("psi"),
    ],
    ids=["ranked", "renoise", "posterior", "mask_predict", "psi"],
)
def test_one_that_fires_at_once_is_one_step(sampler: Sampler, process: str) -> None:
    canvas, network = (
        canvas_from([[False] * 9, [True, False, True, False] * 2, []], [1, 2, 3]),
        wild_denoiser(VOCABULARY),
    )
    found = replace(sampler, stop=AT_ONCE).sample(network, process_of(process), canvas)
    expected = replace(sampler, steps=1).sample(network, process_of(process), canvas)
    check_same(found, expected)
    calls = 2 if sampler.guidance.asks_twice else 1
    assert found.nfe.tolist() == [calls, calls, 0] and found.steps == 1


def in_fives(changes: Tensor, sure: Tensor) -> Denoiser:
    """Says 5 with some probability and 6 else. From a given number of tokens on 6 is what it says of the last position.

    changes: Long [kind], that number; sure: [kind], the probability. A row's first token, which is given, is its kind.
    """

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        kind = x_t[:, 0]
        written = ((x_t != VOCABULARY.mask_id) & canvas.free).sum(-1)
        law = torch.zeros(*x_t.shape, VOCABULARY.size)
        law[..., 5], law[..., 6] = sure[kind, None], 1 - sure[kind, None]
        law[:, -1] = torch.where((written >= changes[kind])[:, None], law[:, -1].flip(-1).roll(3, -1), law[:, -1])
        return law[where].log()

    return denoise


def canvas_of_kinds(kinds: list[int], length: int) -> Canvas:
    canvas = canvas_from([[True] + [False] * length] * len(kinds), range(len(kinds)))
    return canvas.with_ids(torch.cat([torch.tensor(kinds)[:, None], canvas.ids[:, 1:]], 1))


def entropy(*law: float) -> float:
    return -sum(p * math.log(p) for p in law if p > 0)


def test_stable_and_confident_by_hand() -> None:
    """Six tokens from the left, one a step. Kinds: always the same, another guess from the third call on, never sure."""
    changes, sure = torch.full((9,), 99), torch.full((9,), 0.9)
    changes[4], sure[5] = 2, 0.6
    network, canvas = in_fives(changes, sure), canvas_of_kinds([3, 4, 5], 6)
    sampler = Sampler(steps=6, accept=LeftToRightAccept(), warps=(TemperatureWarp(0.0),))
    plain = sampler.sample(network, process_of("absorbing"), canvas)
    assert plain.nfe.tolist() == [6, 6, 6]
    left = list[list[int]]()
    for patience, calls in [(1, [2, 2, 6]), (2, [3, 5, 6]), (3, [4, 6, 6]), (5, [6, 6, 6]), (9, [6, 6, 6])]:
        stop = StableAndConfidentStop(patience, threshold=entropy(0.9, 0.1) + 0.01)
        left.clear()
        samples = replace(sampler, stop=stop).sample(
            network, process_of("absorbing"), canvas, on_step=lambda event: left.append(event.noisy.sum(-1).tolist())
        )
        assert samples.nfe.tolist() == calls
        written = [[5] * 6, [5] * 5 + ([5] if patience == 1 else [6]), [5] * 6]  # with 1 it ends before it changes
        assert samples.ids[:, 1:].tolist() == written
        for step, noisy in enumerate(left, 1):  # only the rows that stop leave
            assert noisy == [0 if step >= n else 6 - step for n in calls]
    unsure = StableAndConfidentStop(1, threshold=entropy(0.9, 0.1) - 0.01)
    check_same(replace(sampler, stop=unsure).sample(network, process_of("absorbing"), canvas), plain)


def test_a_draw_that_is_not_the_best_token_changes_the_guess() -> None:
    network = in_fives(torch.full((9,), 99), torch.full((9,), 0.7))
    sampler = Sampler(steps=4, accept=LeftToRightAccept(), stop=StableAndConfidentStop(threshold=9.0))
    samples = sampler.sample(network, process_of("absorbing"), canvas_of_kinds([3] * 200, 4))
    expected = [2 if ids[1] == 5 else 3 if ids[2] == 5 else 4 for ids in samples.ids.tolist()]
    assert samples.nfe.tolist() == expected
    assert set(expected) == {2, 3, 4}


@pytest.mark.parametrize("margin", [-0.001, 0.001])
def test_entropy_is_the_mean_over_what_is_noisy(margin: float) -> None:
    """From the left: the last of four positions has another entropy, which weighs more the fewer are left."""

    def network(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        law = torch.zeros(4, VOCABULARY.size)
        law[:, 3:5] = 0.5
        law[3] = torch.nn.functional.one_hot(torch.tensor(7), VOCABULARY.size).float()
        return law.log()[where.nonzero()[:, 1]]

    canvas = canvas_from([[False] * 4], [0])
    for calls in (1, 2, 3, 4):
        mean = math.log(2) * (4 - calls) / (5 - calls)
        sampler = Sampler(steps=4, accept=LeftToRightAccept(), stop=EntropyStop(max(mean + margin, 0.0)))
        nfe = sampler.sample(network, process_of("absorbing"), canvas).nfe.tolist()
        assert nfe == [calls if margin > 0 else min(calls + 1, 4)]


STOPS = [EntropyStop(0.8), StableAndConfidentStop(threshold=1.1), StableAndConfidentStop(2, threshold=9.0)]


def tame(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
    """A network that changes its mind now and then only."""
    habits = torch.randn(100, VOCABULARY.size, generator=torch.Generator().manual_seed(5))
    return wild_denoiser(VOCABULARY, sharpness=0.7)(x_t, t, canvas, where) + 2 * habits[where.nonzero()[:, 1]]


SAMPLERS = [
    Sampler(accept=TopKAccept()),
    Sampler(),
    Sampler(renoise=RemdmCapRenoise(0.3)),
    Sampler(transition=PosteriorTransition()),
    Sampler(transition=FreshNoiseTransition(), accept=TopKAccept()),
    replace(preset("mask_predict"), warps=()),
    preset("psi"),
]


@pytest.mark.parametrize(
    "sampler", SAMPLERS, ids=["top_k", "random", "remdm", "posterior", "fresh", "mask_predict", "psi"]
)
@settings(max_examples=8)
@given(
    frozen=st.lists(st.lists(st.booleans(), max_size=7), min_size=1, max_size=4),
    stop=st.sampled_from(STOPS),
    process=st.sampled_from(["absorbing", "uniform", "hybrid"]),
    steps=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_rows_stop_whatever_the_others_do(
    sampler: Sampler, frozen: list[list[bool]], stop: Stop, process: str, steps: int, seed: int
) -> None:
    canvas = canvas_from(frozen, range(seed, seed + len(frozen)))
    sampler = replace(sampler, steps=steps, stop=stop)
    samples = check_settles(sampler, process_of(process), canvas, tame)
    check_same_again(sampler, process_of(process), canvas, tame, samples)
    check_peers_do_not_matter(sampler, process_of(process), canvas, tame, samples)


def test_the_stops_of_that_test_do_fire_on_the_way() -> None:
    given = torch.rand(60, 7, generator=torch.Generator().manual_seed(0)) < 0.3
    canvas = canvas_from(given.tolist(), range(60))
    for sampler in SAMPLERS:
        for stop in STOPS:
            calls = [
                s.sample(tame, process_of("absorbing"), canvas).nfe
                for s in (replace(sampler, steps=9), replace(sampler, steps=9, stop=stop))
            ]
            assert (calls[1] <= calls[0]).all()
            assert 0 < ((calls[1] > 1) & (calls[1] < calls[0])).double().mean() < 1, (sampler, stop)


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"name": "entropy", "threshold": -0.1}, "threshold must be a finite number of at least 0"),
        ({"name": "stable_and_confident", "threshold": -1}, "threshold must be a finite number of at least 0"),
        ({"name": "stable_and_confident", "patience": 0}, "patience must be at least 1, got 0"),
        ("stable", "no Stop is named 'stable'"),
    ],
)
def test_wrong_options_are_errors(stop: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, {"stop": stop})
    assert to_config(Sampler())["stop"] == {"name": "all_settled"}
