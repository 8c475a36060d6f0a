"""The bound of a toy language: its entropy with the exact denoiser, more with any other. Everything by exact sums.

Only the integral over t is numerical: Gauss-Legendre in u with t = u^3, which takes out the t log t at the data end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from oracles import VOCABULARY, HiddenMarkov, ToyLanguage, canvas_of, transitions
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, MatrixProcess, UniformProcess
from textdiff.schedules import CosineSchedule, GeometricSchedule, LinearSchedule, PolynomialSchedule, Schedule

LANGUAGE = ToyLanguage.random(length=2, seed=3)
ENTROPY = LANGUAGE.entropy()
STATES = torch.tensor(list(itertools.product(range(1, 6), repeat=2)))
CANVAS = canvas_of(STATES)
EVERYWHERE = torch.ones_like(STATES, dtype=torch.bool)

ABSORBING = [AbsorbingProcess(VOCABULARY, schedule) for schedule in (LinearSchedule(), CosineSchedule())]
NOISY = [
    UniformProcess(VOCABULARY, LinearSchedule()),
    UniformProcess(VOCABULARY, CosineSchedule()),
    HybridProcess(VOCABULARY, LinearSchedule()),
    HybridProcess(VOCABULARY, PolynomialSchedule(), mask_share=0.4, final_mask_share=1.0),
]

Change = Callable[[Tensor], Tensor]


def label(process: object) -> str:
    return f"{type(process).__name__}-{type(getattr(process, 'schedule', None)).__name__}"


def noisy_law(process: ForwardProcess, t: float) -> Tensor:
    """p(x_0) q(x_t | x_0), [M, R]."""
    return LANGUAGE.probabilities.unsqueeze(-1) * LANGUAGE.noisy(process, t, STATES)


def integrand(process: ForwardProcess, t: float, denoise: Denoiser, change: Change) -> float:
    """E over x_0 and x_t of the integrand at t, nats per sequence."""
    law = noisy_law(process, t)
    seen = law.sum(0) > 0
    canvas, rows = CANVAS.rows(seen), int(seen.sum())
    time = torch.tensor(t, dtype=torch.float64)
    logits = denoise(STATES[seen], time.expand(rows), canvas, EVERYWHERE[seen]).unflatten(0, (rows, -1))
    many = len(LANGUAGE.sequences)
    nats = torch.zeros(many * rows, dtype=torch.float64)
    for i in range(STATES.shape[1]):
        log_p = change(logits[:, i]).log_softmax(-1).repeat(many, 1)
        x_0, x_t = LANGUAGE.sequences[:, i].repeat_interleave(rows), STATES[seen, i].repeat(many)
        nats += process.nelbo(log_p, x_0, x_t, time.expand(many * rows))
    weights = law[:, seen]
    return float(torch.where(weights > 0, weights * nats.view(many, rows), 0.0).sum())


def bound(process: ForwardProcess, denoise: Denoiser, change: Change = lambda x: x, nodes: int = 16) -> float:
    """The whole bound, nats per sequence."""
    if isinstance(process, MatrixProcess):
        times, weights = [(k + 1) / process.steps for k in range(process.steps)], [1 / process.steps] * process.steps
    else:
        u, w = np.polynomial.legendre.leggauss(nodes)
        u, w = (u + 1) / 2, w / 2
        times, weights = (u**3).tolist(), (3 * u**2 * w).tolist()
    ends = LANGUAGE.probabilities @ process.boundary_nats(LANGUAGE.sequences.flatten()).view(-1, 2).sum(-1)
    return float(ends) + sum(w * integrand(process, t, denoise, change) for t, w in zip(times, weights, strict=True))


@pytest.mark.parametrize("process", ABSORBING, ids=label)
def test_absorbing_bound_is_the_entropy(process: AbsorbingProcess) -> None:
    assert bound(process, LANGUAGE.denoiser(process)) == pytest.approx(ENTROPY, abs=1e-6)


@pytest.mark.parametrize("process", NOISY, ids=label)
def test_bound_is_the_entropy(process: ForwardProcess) -> None:
    assert bound(process, LANGUAGE.denoiser(process), nodes=24) == pytest.approx(ENTROPY, abs=1e-4)


def test_bound_does_not_depend_on_the_schedule_with_a_wrong_denoiser_either() -> None:
    def flatter(logits: Tensor) -> Tensor:
        return logits / 2

    for build in (AbsorbingProcess, UniformProcess):
        bounds = []
        schedules: list[Schedule] = [LinearSchedule(), CosineSchedule(), GeometricSchedule()]
        for schedule in schedules:
            process = build(VOCABULARY, schedule)
            bounds.append(bound(process, LANGUAGE.denoiser(process), flatter, nodes=40))
        assert bounds == pytest.approx([bounds[0]] * 3, abs=1e-3)
        assert bounds[0] > ENTROPY + 0.01


@pytest.mark.parametrize("process", [ABSORBING[0], NOISY[0], NOISY[2]], ids=label)
@pytest.mark.parametrize("seed", range(3))
def test_any_other_denoiser_has_a_larger_bound(process: ForwardProcess, seed: int) -> None:
    noise = 0.5 * torch.randn(VOCABULARY.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert bound(process, LANGUAGE.denoiser(process), lambda logits: logits + noise, nodes=10) > ENTROPY + 0.01


@pytest.mark.parametrize("process", NOISY, ids=label)
def test_plain_posterior_is_right_only_when_converted(process: ForwardProcess) -> None:
    plain = LANGUAGE.denoiser(process, leave_one_out=False)

    def converted(x_t: Tensor, t: Tensor, canvas: object, where: Tensor) -> Tensor:
        logits = plain(x_t, t, CANVAS.rows(torch.arange(len(x_t))), where)
        return process.to_leave_one_out(logits, x_t[where], t.unsqueeze(-1).expand(x_t.shape)[where])

    assert bound(process, converted, nodes=24) == pytest.approx(ENTROPY, abs=1e-4)
    assert abs(bound(process, plain, nodes=24) - ENTROPY) > 0.05


@pytest.mark.parametrize("process", ABSORBING, ids=label)
def test_plain_posterior_of_absorbing_noise_needs_no_conversion(process: AbsorbingProcess) -> None:
    assert bound(process, LANGUAGE.denoiser(process, leave_one_out=False)) == pytest.approx(ENTROPY, abs=1e-6)


def test_count_form_is_the_entropy() -> None:
    """E over n ~ U{1, 2}, all masks of n positions and all sequences, of 2 / n times the masked cross-entropy."""
    process = ABSORBING[0]
    denoise, total = LANGUAGE.denoiser(process), 0.0
    for masked in ([True, False], [False, True], [True, True]):
        where = torch.tensor([masked]).expand_as(LANGUAGE.sequences)
        n = sum(masked)
        x_t = torch.where(where, process.mask_id, LANGUAGE.sequences)
        log_p = denoise(x_t, torch.tensor(0.5, dtype=torch.float64), canvas_of(x_t), where).log_softmax(-1)
        nats = torch.zeros_like(where, dtype=torch.float64)
        nats[where] = -log_p.gather(-1, LANGUAGE.sequences[where].unsqueeze(-1)).squeeze(-1)
        total += float(LANGUAGE.probabilities @ nats.sum(-1)) * (2 / n) / 2 / math.comb(2, n)
    assert total == pytest.approx(ENTROPY, abs=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize("process", [ABSORBING[1], NOISY[0], NOISY[3]], ids=label)
def test_sampled_estimate_has_the_bound_as_its_mean(process: ForwardProcess) -> None:
    """`sample` and `nelbo` together, as training uses them; within four standard errors."""
    rows = 1500
    x_0 = LANGUAGE.sample(rows)
    t = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    x_t = process.sample(x_0, t, Draws.seeded(torch.arange(rows)))
    where = process.scored(x_t, torch.ones_like(x_t, dtype=torch.bool))
    row = where.nonzero()[:, 0]
    log_p = LANGUAGE.denoiser(process)(x_t, t, canvas_of(x_t), where).log_softmax(-1)
    nats = torch.zeros(rows, dtype=torch.float64).index_add(
        0, row, process.nelbo(log_p, x_0[where], x_t[where], t[row])
    )
    assert abs(float(nats.mean()) - ENTROPY) < 4 * float(nats.std()) / math.sqrt(rows)


@cache
def stepwise(kind: str, steps: int) -> float:
    process = MatrixProcess(VOCABULARY, CosineSchedule(), kind=kind, steps=steps)
    return bound(process, LANGUAGE.denoiser(process))


@pytest.mark.parametrize("kind", ["uniform", "absorbing", "banded"])
def test_discrete_time_bound_converges_to_the_entropy(kind: str) -> None:
    gaps = [stepwise(kind, steps) - ENTROPY for steps in (4, 16, 64)]
    assert 0 < gaps[2] < gaps[1] < gaps[0]
    assert gaps[2] < gaps[1] / 3 < gaps[0] / 9  # as 1 / steps
    assert gaps[2] < 0.03


@pytest.mark.parametrize("kind", ["uniform", "absorbing", "banded"])
@pytest.mark.parametrize("steps", [1, 3, 16])
def test_discrete_time_bound_of_one_token_is_exact(kind: str, steps: int) -> None:
    """Nothing is lost by writing positions independently when there is only one, if the prior is the true one."""
    process = MatrixProcess(VOCABULARY, LinearSchedule(), kind=kind, steps=steps)
    p = torch.tensor([0, 0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    total = float(p @ process.boundary_nats(torch.arange(6).clamp(min=2)))
    for k in range(1, steps + 1):
        t = torch.tensor(k / steps, dtype=torch.float64)
        q = transitions(process, 0.0, k / steps)
        for x_0, z in itertools.product(range(2, 6), range(1, 6)):
            if q[x_0, z] > 0:
                nats = process.nelbo(p.log()[None], torch.tensor([x_0]), torch.tensor([z]), t)
                total += float(p[x_0] * q[x_0, z] * nats) / steps
    assert total == pytest.approx(-float(torch.special.xlogy(p, p).sum()), abs=1e-9)


@pytest.mark.parametrize("process", [ABSORBING[0], NOISY[0], NOISY[2]], ids=label)
def test_the_two_oracles_agree(process: ForwardProcess) -> None:
    chain = HiddenMarkov.random()
    sequences = ToyLanguage.random(length=3).sequences
    toy = ToyLanguage(VOCABULARY, sequences, chain.log_probability(sequences).exp())
    assert float(toy.probabilities.sum()) == pytest.approx(1)
    x_0, frozen = toy.sample(6), torch.tensor([[False, True, False]]).expand(6, -1)
    t = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    x_t = torch.where(frozen, x_0, process.sample(x_0, t, Draws.seeded(torch.arange(6))))
    canvas = canvas_of(x_0, frozen)
    mine, other = (oracle.denoiser(process)(x_t, t, canvas, canvas.free) for oracle in (chain, toy))
    assert torch.allclose(mine.exp(), other.exp(), atol=1e-12)
