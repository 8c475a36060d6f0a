"""T2: batches in which nothing, everything or a single token is noise, and ends of time: finite, and counted right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracles import VOCABULARY, canvas_of
from tiny import tiny_checkpoint
from torch import Tensor

from textdiff.data import PackedCorpus, TrainingLoader, WholeTask, evaluation_batches
from textdiff.denoiser import Readout
from textdiff.draws import Draws
from textdiff.metrics import estimate_nelbo
from textdiff.objectives import CrossEntropyObjective, NelboObjective, Objective
from textdiff.objectives.base import LossReport
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, MatrixProcess, UniformProcess
from textdiff.schedules import CosineSchedule, LinearSchedule
from textdiff.text.canvas import Canvas

WRITABLE = int(VOCABULARY.writable().sum())
PROCESSES: list[ForwardProcess] = [
    AbsorbingProcess(VOCABULARY, LinearSchedule()),
    AbsorbingProcess(VOCABULARY, CosineSchedule()),
    UniformProcess(VOCABULARY, CosineSchedule()),
    HybridProcess(VOCABULARY),
    MatrixProcess(VOCABULARY, CosineSchedule(), kind="uniform", steps=8),
]
OBJECTIVES = [NelboObjective(), CrossEntropyObjective()]
FIRST, LAST = 2.0**-53, 1 - 2.0**-53
"""The levels nearest to the ends of time that a draw can give."""

over_all = pytest.mark.parametrize(
    "process", PROCESSES, ids=lambda p: f"{type(p).__name__}-{type(p.schedule).__name__}"
)
by_both = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)


class Ignorant:
    """Gives every writable token the same probability; its scores are a parameter, so that there is a gradient."""

    def __init__(self) -> None:
        self.scores = torch.where(VOCABULARY.writable(), 0.0, -1e9).double().requires_grad_()

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        return Readout(self.scores.expand(int(where.sum()), -1))


def costs(objective: Objective, process: ForwardProcess, canvas: Canvas, level: float) -> LossReport:
    """What a batch costs; the gradient is finite too."""
    network = Ignorant()
    levels = torch.full((len(canvas.ids),), level, dtype=torch.float64)
    report = objective(network, process, canvas, levels, Draws.seeded(canvas.seeds))
    report.loss.backward()
    assert network.scores.grad is not None and bool(network.scores.grad.isfinite().all())
    assert bool(report.loss.isfinite()) and bool(report.nelbo_nats.isfinite())
    return LossReport(report.loss.detach(), report.nelbo_nats, report.tokens)


def text(rows: int, length: int) -> Tensor:
    ids = VOCABULARY.writable().nonzero()[:, 0]
    return ids[torch.arange(rows * length) % len(ids)].view(rows, length)


@over_all
@by_both
@pytest.mark.parametrize("level", [0.0, FIRST, 1e-9, LAST, 1.0])
def test_t2_the_ends_of_time_are_finite(process: ForwardProcess, objective: Objective, level: float) -> None:
    report = costs(objective, process, canvas_of(text(4, 6)), level)
    assert int(report.tokens) == 24 and float(report.nelbo_nats) > -1e-9


@by_both
@pytest.mark.parametrize(("level", "masked"), [(0.0, 1), (FIRST, 1), (LAST, 6), (1.0, 6)])
def test_t2_all_masked_and_as_few_as_can_be_count_the_same(objective: Objective, level: float, masked: int) -> None:
    """Absorbing noise: one of six masked, or all six, the bound of a network that knows nothing is six tokens' worth."""
    process, canvas = PROCESSES[0], canvas_of(text(1, 6))
    corruption = objective.estimator(process).corrupt(
        canvas, torch.tensor([level], dtype=torch.float64), Draws.seeded(canvas.seeds)
    )
    assert int(corruption.where.sum()) == masked
    report = costs(objective, process, canvas, level)
    assert float(report.nelbo_nats) == pytest.approx(6 * math.log(WRITABLE))
    if isinstance(objective, CrossEntropyObjective):
        assert float(report.loss) == pytest.approx(2 * masked * math.log(WRITABLE))


@over_all
@by_both
def test_t2_none_masked_costs_nothing_and_divides_by_nothing(process: ForwardProcess, objective: Objective) -> None:
    """All is given. The rows beside such a row cost what they cost alone."""
    ids = text(2, 5)
    frozen = torch.ones_like(ids, dtype=torch.bool)
    report = costs(objective, process, canvas_of(ids, frozen), 0.5)
    assert (float(report.loss), float(report.nelbo_nats), int(report.tokens)) == (0.0, 0.0, 0)
    frozen[1] = False
    mixed = canvas_of(ids, frozen)
    alone = mixed.rows(torch.tensor([1]))
    both, one = costs(objective, process, mixed, 0.5), costs(objective, process, alone, 0.5)
    assert tuple(map(float, both)) == pytest.approx(tuple(map(float, one))) and int(both.tokens) == 5


@over_all
@by_both
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_t2_a_single_token_is_a_sequence(process: ForwardProcess, objective: Objective, level: float) -> None:
    report = costs(objective, process, canvas_of(text(3, 1)), level)
    assert int(report.tokens) == 3
    if isinstance(process, AbsorbingProcess):  # it can only be masked: the bound is exact
        assert float(report.nelbo_nats) == pytest.approx(3 * math.log(WRITABLE))


@over_all
@by_both
@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0, 0)])
def test_t2_nothing_left_after_truncation_is_no_division_by_zero(
    process: ForwardProcess, objective: Objective, shape: tuple[int, int]
) -> None:
    canvas = canvas_of(text(2, 3)[: shape[0]]).cut(shape[1])
    report = costs(objective, process, canvas, 0.5)
    assert (float(report.loss), float(report.nelbo_nats), int(report.tokens)) == (0.0, 0.0, 0)


@over_all
def test_t2_padding_and_empty_rows_leave_the_mean_as_it_is(process: ForwardProcess) -> None:
    """The mean is over free tokens, whatever else is in the batch."""
    writable = [int(i) for i in VOCABULARY.writable().nonzero()[:, 0]]
    rows = [writable[:3], [], writable[:1]]
    canvas = Canvas.of_rows(rows, [[False] * len(row) for row in rows], [5, 6, 7], VOCABULARY)

    network = Ignorant()
    found = estimate_nelbo(lambda *words: network(*words).hidden.detach(), process, [canvas], 32, 0)
    assert found.tokens == 4 and math.isfinite(found.nats_per_token)
    if isinstance(process, AbsorbingProcess):
        assert found.nats_per_token == pytest.approx(math.log(WRITABLE))


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("length", [1, 2])
def test_t2_a_real_network_learns_from_windows_of_a_token_or_two(process: str, length: int) -> None:
    checkpoint = tiny_checkpoint(process)
    model, vocabulary = checkpoint.model, checkpoint.tokenizer.vocabulary
    ids = np.asarray(checkpoint.tokenizer.encode("river")[:1] * length, dtype=np.int32)
    made: Any = TrainingLoader(PackedCorpus(ids, 16), vocabulary, (WholeTask(),)).batch(0, 3)
    for canvas in (made, *evaluation_batches(ids, 16, 4, vocabulary, 0)):
        for level in (0.0, 0.5, 1.0):
            levels = torch.full((len(canvas.ids),), level, dtype=torch.float64)
            model.zero_grad()
            report = NelboObjective()(model.read, model.process, canvas, levels, Draws.seeded(canvas.seeds))
            report.loss.backward()
            assert bool(report.loss.isfinite()) and int(report.tokens) == canvas.ids.numel()
            assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
