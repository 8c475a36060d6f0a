"""What a text costs in an order, in the mean over orders, and by a decoder, against enumeration."""

from __future__ import annotations

import itertools
import math

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table, wild_denoiser
from oracles import VOCABULARY, ToyLanguage, canvas_of
from test_sampling_chain import ERROR_RATE, LANGUAGE, chain, process_of, wild
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import ConfigError
from textdiff.metrics.orders import decoder_nats, importance_weighted, order_nats
from textdiff.processes import AbsorbingProcess, UniformProcess
from textdiff.sampling import Sampler
from textdiff.sampling.accept import (
    Accept,
    DilatedAccept,
    EntropyAccept,
    EntropyBoundAccept,
    FactorAccept,
    KlassAccept,
    LeftToRightAccept,
    MarginAccept,
    RandomAccept,
    ThresholdAccept,
    TopKAccept,
    TopProbabilityAccept,
)
from textdiff.sampling.grids import AdaptiveGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.stops import EntropyStop, StableAndConfidentStop, Stop
from textdiff.sampling.warps import TemperatureWarp

PROCESS = AbsorbingProcess(VOCABULARY)
TEXTS = ToyLanguage.random(length=3, seed=4).sequences
MASK = VOCABULARY.mask_id or 0


def timeless(seed: int = 0) -> Denoiser:
    denoise = wild_denoiser(VOCABULARY, seed)
    return lambda x_t, t, canvas, where: denoise(x_t, torch.zeros_like(t), canvas, where)


def cost(denoise: Denoiser, ids: Tensor, number: tuple[int, ...], steps: int | None = None) -> float:
    """-log of the probability of a row [L] whose positions settle in these steps."""
    total, canvas = 0.0, canvas_of(ids[None])
    for now in sorted(set(number)):
        left = torch.tensor([n >= now for n in number])
        where = torch.tensor([[n == now for n in number]])
        t = torch.tensor([left.double().mean() if steps is None else 1 - now / steps])
        log_p = denoise(ids.masked_fill(left, MASK)[None], t.float(), canvas, where).float().log_softmax(-1)
        total -= float(log_p.gather(-1, ids[where[0], None]).double().sum())
    return total


def near(values: Tensor, allowed: list[float]) -> bool:
    return bool((values[:, None] - torch.tensor(allowed, dtype=torch.float64)).abs().amin(-1).max() < 1e-5)


@pytest.mark.statistical
def test_orders_are_uniform_and_cost_what_they_cost() -> None:
    ids = torch.tensor([3, 5, 2])
    costs = {order: cost(timeless(), ids, order) for order in itertools.permutations(range(3))}
    found = order_nats(timeless(), PROCESS, canvas_of(ids[None]), 3_000)[0]
    assert near(found, [*costs.values()])
    counts = [(found - value).abs().lt(1e-5).sum().item() for value in costs.values()]
    assert len({round(value, 4) for value in costs.values()}) == 6  # no two orders cost the same here
    assert scipy.stats.chisquare(counts).pvalue > ERROR_RATE


@pytest.mark.statistical
def test_the_bound_over_orders_falls_to_the_exact_cost() -> None:
    ids = torch.tensor([3, 5, 2])
    costs = torch.tensor([cost(timeless(), ids, order) for order in itertools.permutations(range(3))]).double()
    exact = float(importance_weighted(costs))
    assert exact == pytest.approx(-math.log(float((-costs).exp().mean())))
    orders = order_nats(timeless(), PROCESS, canvas_of(ids[None]), 6_000)[0]
    means = [float(importance_weighted(orders.view(-1, k)).mean()) for k in (1, 2, 5, 20, 600)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(float(costs.mean()), abs=0.05) and means[0] > exact + 0.1
    assert means[-1] == pytest.approx(exact, abs=0.02)


@pytest.mark.statistical
def test_steps_are_those_of_ancestral_sampling() -> None:
    """The mean over what may settle when is the law of the sampler's own chain; the draws are from that mean."""
    steps, denoise = 3, from_table(wild, VOCABULARY)
    process = process_of("absorbing")
    expected = chain(process, steps, lambda s, t: chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, 0.0))
    for number, ids in enumerate(LANGUAGE.sequences[:5]):
        ways = list(itertools.product(range(steps), repeat=2))
        costs = [cost(denoise, ids, way, steps) for way in ways]
        exact = float(importance_weighted(torch.tensor(costs, dtype=torch.float64)))
        assert math.exp(-exact) == pytest.approx(float(expected[number]), rel=1e-4)
        found = order_nats(denoise, process, canvas_of(ids[None]), 2_000, steps=steps)[0]
        assert near(found, costs)
        assert math.exp(-float(importance_weighted(found))) == pytest.approx(math.exp(-exact), rel=0.1)


def test_orders_depend_on_a_rows_own_seed_and_given_tokens_cost_nothing() -> None:
    canvas = canvas_of(TEXTS[:6], frozen=torch.tensor([[True, False, False]] * 6))
    together = order_nats(timeless(), PROCESS, canvas, 4, seed=1)
    alone = torch.cat([order_nats(timeless(), PROCESS, canvas.rows(torch.tensor([i])), 4, seed=1) for i in range(6)])
    assert torch.equal(together, alone)
    assert not torch.equal(together, order_nats(timeless(), PROCESS, canvas, 4, seed=2))
    given = canvas_of(TEXTS[:2], frozen=torch.ones(2, 3, dtype=torch.bool))
    assert order_nats(timeless(), PROCESS, given, 2).eq(0).all()


POLICIES = {
    "left_to_right": LeftToRightAccept(),
    "dilated": DilatedAccept(),
    "margin": MarginAccept(),
    "top_probability": TopProbabilityAccept(),
    "entropy": EntropyAccept(),
    "entropy_bound": EntropyBoundAccept(gamma=0.8),
    "klass": KlassAccept(confidence=0.4, kl=1.0),
}


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_the_probabilities_of_a_decoder_sum_to_one(name: str, steps: int) -> None:
    sampler = Sampler(steps=steps, accept=POLICIES[name])
    nats = decoder_nats(wild_denoiser(VOCABULARY), PROCESS, canvas_of(TEXTS), sampler)
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(nats.std()) > 0.3


@pytest.mark.statistical
@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(steps=2, accept=TopProbabilityAccept()),
        Sampler(steps=3, accept=EntropyBoundAccept(gamma=0.8), grid=AdaptiveGrid()),
        Sampler(steps=3, accept=KlassAccept(confidence=0.4, kl=1.0), grid=AdaptiveGrid()),
    ],
    ids=["top_probability", "entropy_bound", "klass"],
)
def test_they_are_those_with_which_the_sampler_writes(sampler: Sampler) -> None:
    rows = 20_000
    nothing = canvas_of(torch.full((rows, 3), MASK))
    drawn = sampler.sample(wild_denoiser(VOCABULARY), PROCESS, nothing).ids
    counts = torch.bincount((drawn[:, None] == TEXTS).all(-1).long().argmax(-1), minlength=len(TEXTS)).double()
    expected = rows * (-decoder_nats(wild_denoiser(VOCABULARY), PROCESS, canvas_of(TEXTS), sampler)).exp()
    many = expected >= 5
    pooled = [torch.cat((one[many], one[~many].sum()[None])) for one in (counts, expected)]
    assert scipy.stats.chisquare(pooled[0], pooled[1] * pooled[0].sum() / pooled[1].sum()).pvalue > ERROR_RATE


def habitual(seed: int) -> Denoiser:
    """A network that is often of the same mind."""
    habits = torch.randn(9, VOCABULARY.size, generator=torch.Generator().manual_seed(seed))
    wild_one = wild_denoiser(VOCABULARY, sharpness=0.7)
    return lambda x_t, t, canvas, where: wild_one(x_t, t, canvas, where) + habits[where.nonzero()[:, 1]]


@pytest.mark.parametrize(("stop", "seed"), [(EntropyStop(1.0), 7), (StableAndConfidentStop(threshold=9.0), 5)])
def test_a_stop_looks_at_what_is_written_and_draws_what_is_left(stop: Stop, seed: int) -> None:
    sampler = Sampler(steps=3, accept=LeftToRightAccept(), stop=stop)
    canvas = canvas_of(TEXTS)
    assert float((-decoder_nats(habitual(seed), PROCESS, canvas, sampler)).exp().sum()) == pytest.approx(1, abs=1e-5)
    assert set(sampler.sample(habitual(seed), PROCESS, canvas, told=TEXTS).nfe.tolist()) == {2, 3}


def test_from_the_left_it_is_the_chain_rule() -> None:
    found = decoder_nats(timeless(), PROCESS, canvas_of(TEXTS[:4]), Sampler(steps=3, accept=LeftToRightAccept()))
    assert found.tolist() == pytest.approx([cost(timeless(), ids, (0, 1, 2)) for ids in TEXTS[:4]], rel=1e-5)


@pytest.mark.parametrize(
    "accept", [TopKAccept(), ThresholdAccept(), FactorAccept(), RandomAccept()], ids=lambda a: type(a).__name__
)
def test_an_order_that_looks_at_the_answer_is_refused(accept: Accept) -> None:
    with pytest.raises(ConfigError, match="an order would look at the answer: take left_to_right"):
        decoder_nats(timeless(), PROCESS, canvas_of(TEXTS), Sampler(accept=accept))


def test_other_samplers_and_other_noise_are_refused() -> None:
    canvas = canvas_of(TEXTS)
    with pytest.raises(ConfigError, match="an order would look"):
        decoder_nats(timeless(), PROCESS, canvas, Sampler(accept=MarginAccept(), renoise=RemdmCapRenoise()))
    with pytest.raises(ConfigError, match="leave them out"):
        warps = (TemperatureWarp(0.5),)
        decoder_nats(timeless(), PROCESS, canvas, Sampler(accept=MarginAccept(), warps=warps))
    for ask in (
        lambda p: order_nats(timeless(), p, canvas, 1),
        lambda p: decoder_nats(timeless(), p, canvas, Sampler()),
    ):
        with pytest.raises(ConfigError, match="orders are for absorbing noise"):
            ask(UniformProcess(VOCABULARY))


def test_a_network_that_reads_the_time_is_told_how_much_is_left() -> None:
    """One token at a time: of three tokens t is 1, then two thirds, then one third."""
    ids, denoise = torch.tensor([3, 5, 2]), wild_denoiser(VOCABULARY)
    costs = [cost(denoise, ids, order) for order in itertools.permutations(range(3))]
    assert near(order_nats(denoise, PROCESS, canvas_of(ids[None]), 40)[0], costs)
