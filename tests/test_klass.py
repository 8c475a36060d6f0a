"""KLASS: what it is at the ends of its bounds, which position settles by hand, and what it remembers by brute force."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess
from textdiff.registry import build
from textdiff.sampling import Event, Sampler, Step, preset
from textdiff.sampling.accept import KlassAccept, ThresholdAccept, TopProbabilityAccept
from textdiff.sampling.grids import AdaptiveGrid, UniformGrid
from textdiff.sampling.past import Past
from textdiff.sampling.renoise import NeverRenoise, RemdmCapRenoise, Renoise
from textdiff.sampling.samples import Samples
from textdiff.sampling.state import State
from textdiff.sampling.step import begin_step
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas

PROCESS = AbsorbingProcess(VOCABULARY)
COLD = (TemperatureWarp(0.0),)
NETWORK = wild_denoiser(VOCABULARY)


def check_same(found: Samples, expected: Samples) -> None:
    assert torch.equal(found.ids, expected.ids) and torch.equal(found.log_p, expected.log_p)
    assert torch.equal(found.nfe, expected.nfe)


@pytest.mark.parametrize("grid", [AdaptiveGrid(), UniformGrid()])
@pytest.mark.parametrize("confidence", [0.3, 0.5, 0.9])
def test_without_a_bound_it_is_the_threshold(grid: AdaptiveGrid | UniformGrid, confidence: float) -> None:
    canvas = canvas_from([[False] * 9, [True, False, True, False], [], [False, False, True] * 3], [1, 2, 3, 4])
    sampler = Sampler(steps=5, grid=grid, accept=ThresholdAccept(confidence), warps=COLD)
    expected = sampler.sample(NETWORK, PROCESS, canvas)
    for history in (1, 3):
        unbound = replace(sampler, accept=KlassAccept(confidence, math.inf, history))
        check_same(unbound.sample(NETWORK, PROCESS, canvas), expected)


@pytest.mark.parametrize("warps", [(), COLD])
@pytest.mark.parametrize("history", [1, 2])
def test_with_the_tightest_bound_it_settles_one_at_a_time(history: int, warps: tuple[TemperatureWarp, ...]) -> None:
    canvas = canvas_from([[False] * 7, [True, False] * 7, [False] * 7], [1, 2, 3])
    plain = Sampler(steps=7, warps=warps)
    expected = replace(plain, accept=TopProbabilityAccept()).sample(NETWORK, PROCESS, canvas)
    check_same(replace(plain, accept=KlassAccept(0.01, 0.0, history)).sample(NETWORK, PROCESS, canvas), expected)
    assert expected.nfe.tolist() == [7] * 3


def saying(answers: list[list[float]]) -> Denoiser:
    """Says 4 with these probabilities, [call][position], and 3 else."""
    left = iter(answers)

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        law = torch.zeros(x_t.shape[1], VOCABULARY.size)
        law[:, 4] = torch.tensor(next(left))
        law[:, 3] = 1 - law[:, 4]
        return law.log()[where[0]]

    return denoise


def divergence(p: float, q: float) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


ANSWERS = [
    [0.99, 0.80, 0.95, 0.70, 0.50],
    [0.50, 0.97, 0.94, 0.71, 0.98],
    [0.50, 0.97, 0.93, 0.72, 0.50],
    [0.91] * 5,
    [0.91] * 5,
]
"""The first is the surest at first, the last then; the second jumps, the third moves a little, the fourth is unsure."""
LITTLE, MUCH = divergence(0.94, 0.95), divergence(0.97, 0.80)


@pytest.mark.parametrize(
    ("kl", "history", "settled"),
    [
        (0.0, 1, [[0], [4], [1], [2], [3]]),  # one at a time: the surest of each call, the first of equals
        (LITTLE - 1e-5, 1, [[0], [4], [1, 2], [3]]),
        (LITTLE + 1e-5, 1, [[0], [2, 4], [1], [3]]),
        (MUCH + 1e-5, 1, [[0], [1, 2, 4], [3]]),
        (MUCH + 1e-5, 2, [[0], [4], [1, 2], [3]]),  # only once it has moved little twice
        (MUCH + 1e-5, 3, [[0], [4], [1], [2, 3]]),
        (math.inf, 1, [[0, 2], [1, 4], [3]]),
    ],
)
def test_what_settles_by_hand(kl: float, history: int, settled: list[list[int]]) -> None:
    """With a confidence of 0.9; a bound just above or below what a position moved by lets it settle or wait."""
    seen = [[True] * 5]
    sampler = Sampler(grid=AdaptiveGrid(), accept=KlassAccept(0.9, kl, history), warps=COLD)

    def note(event: Event) -> None:
        seen.append(event.noisy[0].tolist())

    sampler.sample(saying(ANSWERS), PROCESS, canvas_from([[False] * 5], [0]), on_step=note)
    found = [[i for i in range(5) if before[i] and not after[i]] for before, after in pairwise(seen)]
    assert found == settled


@dataclass(frozen=True)
class NotingAccept(KlassAccept):
    """Writes down what it is told of the past."""

    told: list[Step] = field(default_factory=list)

    def choose(self, step: Step) -> Tensor:
        self.told.append(step)
        return super().choose(step)


@pytest.mark.parametrize("renoise", [NeverRenoise(), RemdmCapRenoise(0.4)], ids=["final", "remdm"])
@settings(max_examples=12)
@given(
    frozen=st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=4),
    history=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_the_past_is_that_of_each_position(renoise: Renoise, frozen: list[list[bool]], history: int, seed: int) -> None:
    """Against the last answer and all divergences; rows end at different times, and with ReMDM positions come back."""
    canvas = canvas_from(frozen, range(seed, seed + len(frozen)))
    said: dict[tuple[int, int], Tensor] = {}
    moved: dict[tuple[int, int], list[float]] = defaultdict(lambda: [math.inf] * history)
    expected = list[list[list[float]]]()

    def network(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits, now = NETWORK(x_t, t, canvas, where), list[list[float]]()
        rows, places = where.nonzero(as_tuple=True)
        for law, row, place in zip(logits.log_softmax(-1).double(), rows.tolist(), places.tolist(), strict=True):
            key = int(canvas.seeds[row]) - seed, place
            kl = (law.exp() * (law - said[key]))[VOCABULARY.writable()].sum() if key in said else math.inf
            moved[key] = [float(kl), *moved[key]][:history]
            now.append(moved[key])
            said[key] = law
        expected.append(now)
        return logits

    def forget(event: Event) -> None:
        """What has settled has no past any more."""
        for row, place in (~event.noisy).nonzero().tolist():
            said.pop((row, place), None)

    accept = NotingAccept(confidence=0.3, kl=1.0, history=history)
    Sampler(steps=8, accept=accept, renoise=renoise).sample(network, PROCESS, canvas, on_step=forget)
    assert len(accept.told) == len(expected)
    for step, drifts in zip(accept.told, expected, strict=True):
        assert step.drift.shape == (len(drifts), history)
        torch.testing.assert_close(
            step.drift, torch.tensor(drifts, dtype=torch.float64).view(-1, history), atol=1e-5, rtol=1e-5
        )


def test_only_what_is_noisy_is_kept_and_only_if_asked_for() -> None:
    canvas = canvas_from([[False] * 9, [False] * 3], [1, 2])
    assert State.begin(PROCESS, canvas).past is None
    kept = list[tuple[int, int]]()
    after = Past.after

    def noting(self, step, move):  # type: ignore[no-untyped-def]
        past = after(self, step, move)
        kept.append((len(past.log_p), len(step.row) - int(move.settled.sum())))
        return past

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Past, "after", noting)
        preset("threshold").sample(NETWORK, PROCESS, canvas)
        assert not kept
        preset("klass").sample(NETWORK, PROCESS, canvas)
    assert kept[0][0] > 0 and kept[-1] == (0, 0)
    assert all(found == noisy for found, noisy in kept)


def test_what_was_impossible_before_has_moved_without_end() -> None:
    law = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [1.0, 0.0, 0.0]]).log()
    now = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log()
    now[2, 1] = -1000.0  # a probability that rounds to 0
    canvas = canvas_from([[False] * 4], [0])
    past = replace(Past.none(canvas, 2, 3), row=torch.zeros(3).long(), column=torch.arange(3), log_p=law)
    plan = torch.ones(1, 4, dtype=torch.bool)
    state = State.begin(PROCESS, canvas)
    step = begin_step(
        PROCESS, Draws.seeded([0]), state.index, 1, state.x_t, plan, plan, plan, state.t, state.log_p
    ).planned(plan, plan)
    found = past.drift_to(replace(step, log_p=torch.cat([now, now[:1]])))
    assert found[:, 1].tolist() == [math.inf] * 4
    assert found[:, 0].tolist() == pytest.approx([math.inf, 0.5 * math.log(4 / 3), math.inf, math.inf])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 0}, "confidence must be above 0 and at most 1"),
        ({"kl": -0.1}, "kl must be at least 0"),
        ({"history": 0}, "history must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, {"accept": {"name": "klass", **options}})
