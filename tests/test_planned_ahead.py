"""What each step of a run settles is worked out beforehand where it can be: nothing is other than step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from fakes import Counted, wild_denoiser
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

from textdiff.draws import categorical
from textdiff.errors import CheckpointError, DataError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Event, Sampler, Samples
from textdiff.sampling import sampler as sampler_module
from textdiff.sampling import schedule as schedule_module
from textdiff.sampling.accept import Accept, RandomAccept
from textdiff.sampling.grids import ProfileGrid, RestingGrid, TimeGrid, UniformGrid
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.stops import StableAndConfidentStop
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas

FROZEN = [[False] * 40, [i % 3 == 0 for i in range(33)], [True] * 12, [False], [i > 4 for i in range(20)]]
CANVAS = canvas_from(FROZEN, [1, -2, 3, 4, 5])
GRIDS = [build(TimeGrid, name) for name in names(TimeGrid)] + [ProfileGrid((0.1, 0.5, 0.9)), RestingGrid(2)]
KNOWN = [grid for grid in GRIDS if grid.known]


@dataclass(frozen=True)
class StepByStep(RandomAccept):
    """The same policy, which is asked anew in each step."""

    plans_ahead: ClassVar[bool] = False


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def run(sampler: Sampler, canvas: Canvas = CANVAS, process: str = "absorbing") -> tuple[Samples, Counted, list[Event]]:
    counted, events = Counted(wild_denoiser(VOCABULARY)), list[Event]()
    return sampler.sample(counted, process_of(process), canvas, on_step=events.append), counted, events


def check_same(sampler: Sampler, canvas: Canvas = CANVAS, process: str = "absorbing") -> None:
    found, calls, events = run(sampler, canvas, process)
    expected, calls_then, events_then = run(replace(sampler, accept=StepByStep()), canvas, process)
    for name in ("ids", "log_p", "nfe"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert found.steps == expected.steps
    for ours, theirs in zip(calls.seen, calls_then.seen, strict=True):  # the same network calls, in the same order
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    sides = 2 if sampler.guidance.asks_twice else 1
    assert len(events) * sides == len(calls.seen) and len(events) <= len(events_then)
    seen = [(e.step, e.ids.tolist(), e.noisy.tolist(), e.log_p.tolist()) for e in events_then]
    assert all((e.step, e.ids.tolist(), e.noisy.tolist(), e.log_p.tolist()) in seen for e in events)


@pytest.mark.parametrize("steps", [1, 2, 7, 200])
@pytest.mark.parametrize("grid", KNOWN, ids=repr)
def test_texts_are_those_of_step_by_step(grid: TimeGrid, steps: int) -> None:
    check_same(Sampler(steps=steps, grid=grid))


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("options", [{"warps": (TemperatureWarp(0.7),)}, {"guidance": Guidance(2.0)}], ids=repr)
def test_whatever_else_is_asked(process: str, options: dict[str, object]) -> None:
    check_same(Sampler(steps=30, **options), process=process)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [1, 333, 1 << 20])
def test_how_many_steps_are_planned_at_once_does_not_matter(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_module, "_AT_ONCE", at_once)
    check_same(Sampler(steps=50))


@pytest.mark.parametrize("rows", [[], [[True] * 3]], ids=["no rows", "nothing to write"])
def test_with_nothing_to_write_nothing_is_asked(rows: list[list[bool]]) -> None:
    canvas = canvas_from(rows, range(len(rows)))
    samples, calls, events = run(Sampler(steps=3), canvas)
    assert torch.equal(samples.ids, canvas.ids) and samples.steps == 0
    assert not calls.seen and not events


def test_every_round_asks_the_network() -> None:
    """Of 1,000 steps that write 41 tokens at most that many are taken, and none finds nothing to do."""
    _, calls, events = run(Sampler(steps=1_000))
    assert len(events) == len(calls.seen) <= 40
    _, _, idle = run(Sampler(steps=1_000, accept=StepByStep()))
    assert len(idle) > 10 * len(events)


@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(renoise=RemdmCapRenoise()),
        Sampler(stop=StableAndConfidentStop()),
        *(Sampler(accept=build(Accept, name)) for name in names(Accept) if name != "random"),
    ],
    ids=repr,
)
def test_nothing_is_planned_ahead_that_depends_on_answers(sampler: Sampler) -> None:
    assert not sampler._plans_ahead(None)


def test_a_grid_of_a_user_is_not_taken_for_known() -> None:
    class Mine(UniformGrid):
        known: ClassVar[bool] = False

    assert Sampler()._plans_ahead(None) and not Sampler(grid=Mine())._plans_ahead(None)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_damage_that_is_looked_for_at_the_end_is_found(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where steps are not checked one by one. No id is out of range meanwhile."""
    network, calls = wild_denoiser(VOCABULARY), list[Tensor]()

    def broken(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        calls.append(x_t)
        assert int(x_t.min()) >= 0 and int(x_t.max()) < VOCABULARY.size
        logits = network(x_t, t, canvas, where)
        return logits.masked_fill(torch.arange(len(logits)).unsqueeze(-1) == 0, value) if len(calls) == 2 else logits

    sampler = Sampler(steps=5)
    state = sampler._run(
        sampler_module.Networks((broken,)), process_of("absorbing"), CANVAS, None, None, None, checked=False
    )
    assert len(calls) > 2 and state.log_p.isnan().sum() == 1
    error, words = (DataError, "no token is possible") if value == -torch.inf else (CheckpointError, "not finite")
    calls.clear()
    with pytest.raises(error, match=words):
        sampler.sample(broken, process_of("absorbing"), CANVAS)
    assert len(calls) == 2


def test_a_draw_from_what_is_no_law_is_an_index() -> None:
    weights = torch.full((3, 200), torch.nan)
    assert ((drawn := categorical(weights, torch.tensor([0.1, 0.5, 0.9]).double())) >= 0).all() and (drawn < 200).all()
