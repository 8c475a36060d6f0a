"""Positions that move by themselves move a few at a time: the same text, and never all laws at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.errors import CheckpointError, DataError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, Samples, preset, preset_names
from textdiff.sampling import pieces as pieces_module
from textdiff.sampling import sampler as sampler_module
from textdiff.sampling.constraints import Constraint, TokenClasses
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.step import Step, Stream
from textdiff.sampling.transitions import Transition
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas

CANVAS = canvas_from([[False] * 30, [i % 3 == 0 for i in range(25)], [True] * 12, [False]], [1, 2, 3, 4])
ROW = 4 * VOCABULARY.size
ALONE = [name for name in preset_names() if preset(name).transition.each_alone(preset(name).accept)]


class Network:
    """A network whose output layer notes how many positions it scores at once. The output layer is the identity."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.at_once: list[int] = []

    def read(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        hidden = wild_denoiser(VOCABULARY)(x_t, t, canvas, where)
        self.asked.append(len(hidden))
        network = self

        class Noted(Readout):
            def logits(self, rows: slice = slice(None)) -> Tensor:
                found = super().logits(rows)
                network.at_once.append(len(found))
                return found

        return Noted(hidden)


def written(sampler: Sampler, process: str, canvas: Canvas = CANVAS, constraint: Constraint | None = None) -> Samples:
    made: ForwardProcess = build(ForwardProcess, process, vocabulary=VOCABULARY)
    return sampler.sample(Network().read, made, canvas, constraint)


def check_same(found: Samples, expected: Samples) -> None:
    assert torch.equal(found.ids, expected.ids) and torch.equal(found.nfe, expected.nfe)
    torch.testing.assert_close(found.log_p, expected.log_p, rtol=1e-5, atol=1e-6)


def in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on all positions move at once, as those of other samplers do."""
    monkeypatch.setattr(sampler_module.Sampler, "_each_alone", lambda self: False)


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("name", ALONE)
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, name: str, process: str) -> None:
    table = torch.ones(2, VOCABULARY.size, dtype=torch.bool)
    table[1, 5:] = False
    which = torch.arange(CANVAS.ids.shape[1]).remainder(2).expand(CANVAS.shape)
    sampler = replace(preset(name), steps=6)
    cases = [(sampler, None), (sampler, TokenClasses(table, which))]
    cases += [(replace(sampler, warps=(TemperatureWarp(0.7),)), None), (replace(sampler, guidance=Guidance(2.0)), None)]
    monkeypatch.setattr(pieces_module, "_SCORED", 7 * ROW)
    monkeypatch.setattr(pieces_module, "_MOVED", 3 * ROW)
    found = [written(sampler, process, constraint=constraint) for sampler, constraint in cases]
    in_one(monkeypatch)
    for samples, (sampler, constraint) in zip(found, cases, strict=True):
        check_same(samples, written(sampler, process, constraint=constraint))


def test_no_more_positions_are_scored_at_once_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_SCORED", 2 * ROW + 1)
    network = Network()
    preset("ancestral").sample(network.read, build(ForwardProcess, "absorbing", vocabulary=VOCABULARY), CANVAS)
    assert max(network.at_once) <= 2 < max(network.asked)
    assert sum(network.at_once) == sum(network.asked) == int(CANVAS.free.sum())


def test_a_constraint_that_ties_nothing_leaves_pieces_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_SCORED", 2 * ROW + 1)
    classes = TokenClasses(torch.ones(1, VOCABULARY.size, dtype=torch.bool), torch.zeros_like(CANVAS.ids))
    network = Network()
    process = build(ForwardProcess, "absorbing", vocabulary=VOCABULARY)
    preset("ancestral").sample(network.read, process, CANVAS, classes)
    assert not classes.ties and max(network.at_once) <= 2 < max(network.asked)


def test_a_policy_that_compares_positions_sees_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_SCORED", ROW)
    network = Network()
    replace(preset("confidence"), steps=3).sample(
        network.read, build(ForwardProcess, "absorbing", vocabulary=VOCABULARY), CANVAS
    )
    assert network.at_once == network.asked


def test_what_is_wrong_in_a_piece_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_MOVED", 2 * ROW)
    process = build(ForwardProcess, "absorbing", vocabulary=VOCABULARY)

    def broken(value: float, ids: slice) -> object:
        def read(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
            hidden = wild_denoiser(VOCABULARY)(x_t, t, canvas, where)
            hidden[where.nonzero()[:, 1] == 8, ids] = value
            return Readout(hidden)

        return read

    sampler = replace(preset("ancestral"), steps=2)
    for value, ids in ((float("nan"), slice(4, 5)), (float("inf"), slice(4, 5)), (float("nan"), slice(None))):
        with pytest.raises(CheckpointError, match="not finite"):
            sampler.sample(broken(value, ids), process, CANVAS)
    with pytest.raises(DataError, match="no token is possible at position 8"):
        sampler.sample(broken(-float("inf"), slice(None)), process, CANVAS)


def test_noise_that_follows_noise_is_not_asked_about() -> None:
    """At t = 1 a token of the next text is read off the network with probability alpha_s, and noise else."""
    process = build(ForwardProcess, "uniform", vocabulary=VOCABULARY)
    canvas = canvas_from([[False] * 400] * 5, [1, 2, 3, 4, 5])
    network, steps, events = Network(), 8, []
    sampler = replace(preset("posterior"), steps=steps)
    sampler.sample(network.read, process, canvas, on_step=events.append)
    free = int(canvas.free.sum())
    assert abs(network.asked[0] / free - 1 / steps) < 4 * (1 / steps / free) ** 0.5
    before = process.sample_noise(canvas.ids, sampler_module.Draws.seeded(canvas.seeds))
    same = (events[0].ids == before).float().mean()  # fresh noise, and no token that stays
    assert same < 2 / len(process.vocabulary.writable().nonzero())


def test_what_turns_to_noise_and_what_may_move_are_all_positions_at_the_start() -> None:
    transition = build(Transition, "posterior")
    process = build(ForwardProcess, "uniform", vocabulary=VOCABULARY)
    seen: list[Step] = []

    class Watched(type(transition)):  # type: ignore[misc]
        def plan(self, step, accept):
            seen.append(step)
            return super().plan(step, accept)

    sampler = replace(preset("posterior"), steps=4, transition=Watched())
    sampler.sample(Network().read, process, CANVAS)
    first, later = seen[0], seen[-1]
    number = first.uniform(Stream.ACCEPT)
    assert torch.equal(transition.plan(first, sampler.accept), first.noisy & (number < 0.25))
    assert torch.equal(transition.forgets(first), number >= 0.25)
    assert transition.forgets(later) is None
