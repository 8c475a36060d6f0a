"""What continuations cost, against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from fakes import wild_denoiser
from oracles import VOCABULARY, ToyLanguage
from test_left_to_right import VOCABULARY as TWIN
from test_left_to_right import twin
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.evaluation.continuations import Continuation, can_be_summed, continuation_nats, summed_nats
from textdiff.processes import AbsorbingProcess, UniformProcess
from textdiff.text.canvas import Canvas

PROCESS = AbsorbingProcess(VOCABULARY)
ROW = Continuation((2, 5), (3, 3, 4))


def timeless(seed: int = 0) -> Denoiser:
    wild = wild_denoiser(VOCABULARY, seed)
    return lambda x_t, t, canvas, where: wild(x_t, torch.zeros_like(t), canvas, where)


def order_costs(denoise: Denoiser, row: Continuation) -> list[float]:
    """-log of the probability of what is written in each order, one token at a time."""
    ids = torch.tensor([[*row.given, *row.new]])
    first, costs = len(row.given), []
    for order in itertools.permutations(range(first, ids.shape[1])):
        x_t, cost = ids.clone(), 0.0
        x_t[0, first:] = VOCABULARY.mask_id or 0
        for place in order:
            where = torch.zeros_like(ids, dtype=torch.bool)
            where[0, place] = True
            canvas = Canvas(ids, x_t != VOCABULARY.mask_id, torch.ones_like(where), torch.zeros(1, dtype=torch.long))
            logits = denoise(x_t, torch.ones(1), canvas, where)
            cost -= float(logits.double().log_softmax(-1)[0, ids[0, place]])
            x_t[0, place] = ids[0, place]
        costs.append(cost)
    return costs


def test_a_short_continuation_is_summed_over_all_orders() -> None:
    costs = torch.tensor(order_costs(timeless(), ROW), dtype=torch.float64)
    assert costs.std() > 0.1  # the orders do not agree
    exact = summed_nats(timeless(), PROCESS, ROW)
    assert exact == pytest.approx(-float(torch.logsumexp(-costs, 0)) + math.log(len(costs)), rel=1e-5)
    assert summed_nats(timeless(), PROCESS, Continuation((2,), (4,))) == pytest.approx(
        order_costs(timeless(), Continuation((2,), (4,)))[0], rel=1e-5
    )


@pytest.mark.statistical
def test_a_bound_is_the_mean_over_orders() -> None:
    """Its mean is that of the costs of all orders, which is above the exact cost; 4,000 draws."""
    costs = order_costs(timeless(), ROW)
    (found,) = continuation_nats(timeless(), PROCESS, [ROW], 4000)
    assert found == pytest.approx(sum(costs) / len(costs), abs=0.1)
    assert found > summed_nats(timeless(), PROCESS, ROW) + 0.02


def test_with_the_exact_denoiser_both_are_the_conditional_probability() -> None:
    language = ToyLanguage.random(length=4, seed=2)
    denoise = language.denoiser(PROCESS)
    row = Continuation((2, 4), (5, 3))
    ids, frozen = torch.tensor([*row.given, *row.new]), torch.tensor([True, True, False, False])
    truth = -math.log(float(language.conditioned(ids, frozen)[language.index(ids[None])[0]]))
    assert summed_nats(denoise, PROCESS, row) == pytest.approx(truth)
    assert continuation_nats(denoise, PROCESS, [row], 2000)[0] == pytest.approx(truth, abs=0.1)
    whole = sum(math.exp(-summed_nats(denoise, PROCESS, Continuation((2, 4), new))) for new in _all(2))
    assert whole == pytest.approx(1)


def _all(length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(VOCABULARY.writable().nonzero().flatten().tolist(), repeat=length))


@pytest.mark.parametrize("process", [PROCESS, UniformProcess(VOCABULARY)])
def test_what_is_compared_has_the_same_noise_whatever_the_batch(process: AbsorbingProcess | UniformProcess) -> None:
    """A row costs the same alone and among others, and again."""
    rows = [ROW, Continuation((2,), (5,)), Continuation((3, 3, 2, 2), (4, 4)), ROW]
    told: list[int] = []
    found = continuation_nats(timeless(), process, rows, 6, on_rows=told.append)
    assert found[0] == found[3] and told == [4]
    for row, cost in zip(rows, found, strict=True):
        assert continuation_nats(timeless(), process, [row], 6)[0] == pytest.approx(cost, rel=1e-6)


def test_what_cannot_be_written_costs_nothing() -> None:
    odd = Continuation((2,), (0, 4, 0))
    assert can_be_summed(PROCESS, odd, 1) and not can_be_summed(PROCESS, ROW, 6) and can_be_summed(PROCESS, ROW, 7)
    assert summed_nats(timeless(), PROCESS, Continuation((2,), (0,))) == 0
    assert continuation_nats(timeless(), PROCESS, [Continuation((2,), ()), Continuation((2,), (0,))], 3) == [0, 0]
    assert summed_nats(timeless(), PROCESS, odd) == pytest.approx(continuation_nats(timeless(), PROCESS, [odd], 2)[0])


def test_from_left_to_right_the_cost_is_the_chain_rule() -> None:
    model = twin()
    row = Continuation((2, 3, 4), (5, 6, 7))
    (found,) = continuation_nats(model.read, model.process, [row], 4)
    ids = torch.tensor([[*row.given, *row.new]])

    def cost(place: int) -> float:
        where = torch.zeros_like(ids, dtype=torch.bool)
        where[0, place] = True
        canvas = Canvas(ids, ~where, torch.ones_like(where), torch.zeros(1, dtype=torch.long))
        logits: Tensor = model.denoise(ids, torch.zeros(1), canvas, where)
        return -float(logits.double().log_softmax(-1)[0, ids[0, place]])

    with torch.no_grad():
        assert TWIN.size == 13 and found == pytest.approx(sum(map(cost, (3, 4, 5))), rel=1e-5)
