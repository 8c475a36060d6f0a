"""Objectives: unbiased, additive, and with the cross-entropy that they promise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles import ToyLanguage, canvas_of
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader, Readout
from textdiff.draws import Draws
from textdiff.objectives import CrossEntropyObjective, NelboObjective, Objective, estimator_for, stratified
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, UniformProcess
from textdiff.registry import build
from textdiff.schedules import CosineSchedule

LANGUAGE = ToyLanguage.random(length=3, seed=4)
PROCESSES = [
    AbsorbingProcess(LANGUAGE.vocabulary),
    AbsorbingProcess(LANGUAGE.vocabulary, CosineSchedule()),
    UniformProcess(LANGUAGE.vocabulary),
    HybridProcess(LANGUAGE.vocabulary),
]


def reading(denoiser: Denoiser) -> Reader:
    """A denoiser as what training asks: there is no output layer left to apply."""
    return lambda x_t, t, canvas, where: Readout(denoiser(x_t, t, canvas, where))


def name(process: object) -> str:
    return type(process).__name__ + type(process.schedule).__name__ if hasattr(process, "schedule") else str(process)


@pytest.mark.statistical
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("process", PROCESSES, ids=name)
def test_the_estimate_has_the_entropy_as_its_mean(process: ForwardProcess, training: bool) -> None:
    """Fixed seed; the mean of the estimate lies within 4 standard errors of the entropy."""
    rows = 4000
    canvas = canvas_of(LANGUAGE.sample(rows, seed=1), seed=7)
    estimator = estimator_for(process).for_training if training else estimator_for(process)
    level = stratified(Draws.seeded(3), 0, rows, rows)[torch.randperm(rows, generator=torch.Generator().manual_seed(0))]
    corruption = estimator.corrupt(canvas, level, Draws.seeded(canvas.seeds))
    logits = LANGUAGE.denoiser(process)(corruption.x_t, corruption.t, canvas, corruption.where)
    nats = estimator.nats(canvas, corruption, logits.log_softmax(-1))
    sums = torch.zeros(rows, dtype=torch.float64).index_add(0, corruption.row, nats)
    error = float(sums.std()) / rows**0.5
    assert abs(float(sums.mean()) - LANGUAGE.entropy()) < 4 * error
    assert error < 0.15


def test_the_count_form_is_exact_when_all_masks_are_enumerated() -> None:
    """Every subset of the positions with its probability: the bound is the entropy, for any schedule."""
    process = AbsorbingProcess(LANGUAGE.vocabulary, CosineSchedule())
    denoiser, length = LANGUAGE.denoiser(process), 3
    total = 0.0
    for sequence, p in zip(LANGUAGE.sequences, LANGUAGE.probabilities, strict=True):
        for subset in range(1, 2**length):
            masked = torch.tensor([bool(subset >> i & 1) for i in range(length)])
            count = int(masked.sum())
            choices = {1: 3, 2: 3, 3: 1}[count]
            canvas = canvas_of(sequence[None])
            x_t = torch.where(masked, 1, sequence)[None]
            t = process.schedule.inverse(torch.tensor([1 - count / length], dtype=torch.float64))
            log_p = denoiser(x_t, t, canvas, masked[None]).log_softmax(-1)
            surprise = -log_p.gather(-1, sequence[masked][:, None]).sum()
            total += float(p * surprise) * length / count / (length * choices)
    assert total == pytest.approx(LANGUAGE.entropy(), abs=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=name)
def test_cross_entropy_scores_the_posterior_over_clean_tokens(process: ForwardProcess) -> None:
    """The one-scalar form equals -log of the exact p(x_0 | x_t), which the language gives by enumeration."""
    canvas = canvas_of(LANGUAGE.sample(50, seed=2))
    level = torch.linspace(0.05, 0.95, 50, dtype=torch.float64)
    estimator = estimator_for(process)
    corruption = estimator.corrupt(canvas, level, Draws.seeded(canvas.seeds))
    leave_one_out = LANGUAGE.denoiser(process)(corruption.x_t, corruption.t, canvas, corruption.where).log_softmax(-1)
    exact = LANGUAGE.denoiser(process, leave_one_out=False)(corruption.x_t, corruption.t, canvas, corruption.where)
    loss = CrossEntropyObjective().loss(process, canvas, corruption, leave_one_out, leave_one_out[:, 0])
    expected = -exact.log_softmax(-1).gather(-1, canvas.ids[corruption.where][:, None]).squeeze(-1)
    scale = 2.0 if isinstance(process, AbsorbingProcess) else 1.0
    torch.testing.assert_close(loss, expected * scale, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("objective", [NelboObjective(), CrossEntropyObjective()], ids=name)
def test_parts_of_a_batch_add_up_to_the_whole(objective: Objective) -> None:
    process = PROCESSES[0]
    canvas = canvas_of(LANGUAGE.sample(8, seed=3))
    reader = reading(LANGUAGE.denoiser(process))
    whole_level = stratified(Draws.seeded(1), 0, 8, 8)

    def report(rows: slice, level: Tensor) -> tuple[float, float, int]:
        part = canvas.rows(torch.arange(8)[rows])
        found = objective(reader, process, part, level, Draws.seeded(part.seeds))
        return float(found.loss), float(found.nelbo_nats), int(found.tokens)

    whole = report(slice(0, 8), whole_level)
    halves = [report(slice(a, a + 4), stratified(Draws.seeded(1), a, 4, 8)) for a in (0, 4)]
    assert whole == pytest.approx(tuple(map(sum, zip(*halves, strict=True))))


def test_stratified_levels_put_one_in_every_stratum() -> None:
    levels = stratified(Draws.seeded(5), 0, 64, 64)
    assert (levels * 64).floor().long().tolist() == list(range(64))
    assert float(levels.min()) > 0 and float(levels.max()) < 1


def test_frozen_positions_and_padding_are_neither_corrupted_nor_scored() -> None:
    process = PROCESSES[2]
    ids = LANGUAGE.sample(6, seed=9)
    frozen = torch.zeros_like(ids, dtype=torch.bool)
    frozen[:, 0] = True
    canvas = canvas_of(ids, frozen)
    corruption = estimator_for(process).corrupt(canvas, torch.full((6,), 0.999), Draws.seeded(canvas.seeds))
    assert torch.equal(corruption.x_t[:, 0], ids[:, 0])
    assert not corruption.where[:, 0].any() and corruption.where[:, 1:].all()


def test_t2_rows_without_a_free_token_cost_nothing() -> None:
    """FAULTS T2: all given, and a single free token."""
    process = PROCESSES[0]
    ids = LANGUAGE.sample(2, seed=9)
    frozen = torch.ones_like(ids, dtype=torch.bool)
    frozen[1, 2] = False
    canvas = canvas_of(ids, frozen)
    level = torch.tensor([0.5, 0.5], dtype=torch.float64)
    found = NelboObjective()(reading(LANGUAGE.denoiser(process)), process, canvas, level, Draws.seeded(canvas.seeds))
    assert int(found.tokens) == 1 and bool(torch.isfinite(found.loss)) and float(found.loss) > 0


def test_objectives_are_built_by_name() -> None:
    assert build(Objective, "nelbo") == NelboObjective()
    assert build(Objective, {"name": "cross_entropy"}) == CrossEntropyObjective()


@pytest.mark.parametrize("objective", [NelboObjective(), CrossEntropyObjective()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("process", PROCESSES, ids=name)
def test_blank_rows_are_all_noise(process: ForwardProcess, objective: Objective) -> None:
    """Whatever their noise level is, the denoiser sees nothing of what they hold; the other rows are as they were."""
    seen: list[Tensor] = []

    def spy(x_t: Tensor, t: Tensor, canvas: object, where: Tensor) -> Tensor:
        seen.append(x_t)
        return torch.zeros(int(where.sum()), LANGUAGE.vocabulary.size)

    plain = canvas_of(LANGUAGE.sample(4000, seed=1), seed=7)
    blank = torch.arange(4000) % 2 == 0
    level = torch.full((4000,), 1e-3, dtype=torch.float64)
    reports = [
        objective(reading(spy), process, canvas, level, Draws.seeded(canvas.seeds))
        for canvas in (plain, replace(plain, blank=blank))
    ]
    assert all(bool(report.loss.isfinite()) for report in reports)
    assert torch.equal(seen[0][~blank], seen[1][~blank])
    assert float((seen[0] == plain.ids)[blank].double().mean()) > 0.6
    # uniform noise hits the right token by chance
    by_chance = max(
        0.0, float((process.sample_noise(plain.ids, Draws.seeded(plain.seeds)) == plain.ids).double().mean())
    )
    assert float((seen[1] == plain.ids)[blank].double().mean()) < by_chance + 0.03
