"""Single policies: what warps do, what temperature 0 means, ranking, and a policy that is new."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from, check_all, renoises
from torch import Tensor

from textdiff import registry
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, names, register, to_config
from textdiff.sampling import Accept, Sampler, Step, TokenClasses, Warp, preset
from textdiff.sampling.accept import TopKAccept
from textdiff.sampling.accept.ranked import rank_by_score
from textdiff.sampling.grids import LoopGrid
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.renoise import RemdmConfidenceRenoise
from textdiff.sampling.step import begin_step
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.sampling.warps import MinPWarp, TemperatureWarp, TopKWarp, TopPWarp

COLD = (TemperatureWarp(0.0),)

logits = st.lists(st.integers(-40, 40).map(lambda i: i / 4), min_size=9, max_size=9)


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def distribution(values: list[float]) -> Tensor:
    """Normalised log-probabilities [1, V], -inf at ids that are not writable."""
    return torch.tensor([values]).masked_fill(~VOCABULARY.writable(), -torch.inf).log_softmax(-1)


@pytest.mark.parametrize("name", names(Warp))
@given(values=logits)
def test_every_warp_gives_a_distribution_and_brings_nothing_back(name: str, values: list[float]) -> None:
    log_p = distribution(values)
    warped = build(Warp, name)(log_p)
    assert warped.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert (warped[log_p.isneginf()] == -torch.inf).all()
    assert build(Warp, to_config(build(Warp, name))) == build(Warp, name)


@given(values=logits, temperature=st.sampled_from([0.3, 0.7, 1.0, 2.5]))
def test_temperature_divides_differences(values: list[float], temperature: float) -> None:
    log_p = distribution(values)
    warped = TemperatureWarp(temperature)(log_p)
    real = VOCABULARY.writable()
    before, after = log_p[0, real].diff(), warped[0, real].diff()
    torch.testing.assert_close(after * temperature, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-31, 1e-20, 1e-8])
@given(values=logits)
def test_cold_is_the_best_token(temperature: float, values: list[float]) -> None:
    log_p = distribution(values)
    best = log_p == log_p.max()
    warped = TemperatureWarp(temperature)(log_p)
    assert warped[~best].exp().sum() == 0
    if temperature == 0:
        assert warped.argmax() == log_p.argmax() and warped.max() == 0


@given(values=logits, k=st.integers(1, 9))
def test_top_k_keeps_the_k_best(values: list[float], k: int) -> None:
    log_p = distribution(values)
    warped = TopKWarp(k)(log_p)
    kept = warped > -torch.inf
    least = log_p[0].sort(descending=True).values[k - 1]
    assert torch.equal(kept, (log_p >= least) & (log_p > -torch.inf))
    torch.testing.assert_close(warped[kept], (log_p[kept]).log_softmax(-1), atol=1e-5, rtol=1e-5)


@given(values=logits, p=st.sampled_from([0.01, 0.3, 0.5, 0.9, 0.999]))
def test_top_p_keeps_the_fewest_that_reach_p(values: list[float], p: float) -> None:
    log_p = distribution(values)
    kept = (TopPWarp(p)(log_p) > -torch.inf)[0]
    probabilities = log_p[0].exp().to(torch.float64)
    worst = probabilities[kept].min()
    assert probabilities[kept].sum() >= p - 1e-6
    assert probabilities[probabilities > worst].sum() < p + 1e-6  # without the last of them it would not be enough
    assert probabilities[~kept].max() < worst
    torch.testing.assert_close(TopPWarp(1.0)(log_p), log_p)


@given(values=logits, p=st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_min_p_keeps_what_is_near_the_best(values: list[float], p: float) -> None:
    log_p = distribution(values)
    warped = MinPWarp(p)(log_p)
    kept = (warped > -torch.inf)[0]
    share = (log_p[0] - log_p[0].max()).double()
    assert kept[share > math.log(p) + 1e-5].all() and not kept[share < math.log(p) - 1e-5].any()
    torch.testing.assert_close(warped[0, kept], log_p[0, kept].log_softmax(-1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(MinPWarp(0.0)(log_p), log_p)


def test_warps_act_in_their_order() -> None:
    log_p = distribution([0, 0, 0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0])
    hot_first = TopPWarp(0.5)(TemperatureWarp(5.0)(log_p))
    sampler = Sampler(steps=1, warps=(TemperatureWarp(5.0), TopPWarp(0.5)))
    canvas = canvas_from([[False] * 400], [0])
    ids = sampler.sample(lambda x, t, c, w: log_p.expand(int(w.sum()), -1), process_of("absorbing"), canvas).ids
    possible = set((hot_first[0] > -torch.inf).nonzero().flatten().tolist())
    assert len(possible) > len((TopPWarp(0.5)(log_p) > -torch.inf).nonzero())
    assert set(ids.flatten().tolist()) == possible


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("accept", names(Accept))
def test_temperature_zero_writes_the_best_token(accept: str, steps: int) -> None:
    """Every token is the argmax of what the network said when it settled."""
    network, process = wild_denoiser(VOCABULARY), process_of("absorbing")
    canvas = canvas_from([[False, True, False, False, False, False]], [1])
    said, seen = list[Tensor](), list[Tensor]()

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        logits = network(x_t, t, canvas, where)
        said.append(torch.zeros_like(x_t).masked_scatter(where, logits.argmax(-1)))
        seen.append(x_t)
        return logits

    warps = [{"name": "temperature", "temperature": 0}]
    samples = build(Sampler, {"steps": steps, "accept": accept, "warps": warps}).sample(noting, process, canvas)
    for before, best, after in zip(seen, said, [*seen[1:], samples.ids], strict=True):
        settled = after != before
        assert settled.any()
        assert torch.equal(after[settled], best[settled])


@pytest.mark.parametrize("name", ["confidence", "margin", "entropy", "threshold"])
def test_without_temperature_confidence_orders_do_not_depend_on_the_seed(name: str) -> None:
    sampler = replace(preset(name), steps=5, warps=COLD)
    network, process = wild_denoiser(VOCABULARY), process_of("absorbing")
    ids = sampler.sample(network, process, canvas_from([[False] * 8] * 4, [1, 2, 3, 4])).ids
    assert (ids == ids[0]).all()
    warm = replace(sampler, warps=()).sample(network, process, canvas_from([[False] * 8] * 4, [1, 2, 3, 4])).ids
    assert not (warm == warm[0]).all()


def test_uniform_noise_at_temperature_zero_ends_at_the_best_token() -> None:
    """The reverse kernel of a denoiser that is certain leads there whatever the noise was."""
    network, process = wild_denoiser(VOCABULARY), process_of("uniform")
    canvas = canvas_from([[False] * 6], [3])
    sampler = Sampler(steps=1, transition=PosteriorTransition(), warps=COLD)
    seen = list[Tensor]()

    def noting(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        seen.append(network(x_t, t, canvas, where))
        return seen[-1]

    ids = sampler.sample(noting, process, canvas).ids
    assert torch.equal(ids[0], seen[0].argmax(-1))


def test_confidence_is_the_constrained_and_unwarped_one() -> None:
    """The best token is forbidden and the temperature is 0: the score is that of the rest, renormalised."""
    log_p = distribution([0, 0, 0, 5.0, 2.0, 1.0, 0.0, -1.0, -2.0])
    table = torch.ones(1, VOCABULARY.size, dtype=torch.bool)
    table[0, 3] = False
    canvas = canvas_from([[False] * 3], [0])
    constraint = TokenClasses(table, torch.zeros(1, 3, dtype=torch.long))
    sampler = Sampler(steps=2, accept=TopKAccept(), warps=COLD)
    samples = sampler.sample(
        lambda x, t, c, w: log_p.expand(int(w.sum()), -1), process_of("absorbing"), canvas, constraint
    )
    assert (samples.ids == 4).all()
    expected = log_p[0, 4] - log_p[0, 4:].logsumexp(-1)
    torch.testing.assert_close(samples.log_p, expected.to(torch.float64).expand(1, 3))


@pytest.mark.parametrize(
    ("accept", "laws", "first"),
    [
        ("top_k", [(0.5, 0.45, 0.05), (0.45, 0.2, 0.2, 0.15)], 0),
        ("margin", [(0.5, 0.45, 0.05), (0.45, 0.2, 0.2, 0.15)], 1),
        ("entropy", [(0.5, 0.125, 0.125, 0.125, 0.125), (0.45, 0.45, 0.1)], 1),
        ("top_k", [(0.5, 0.125, 0.125, 0.125, 0.125), (0.45, 0.45, 0.1)], 0),
    ],
)
def test_what_ranked_policies_rank_by(accept: str, laws: list[tuple[float, ...]], first: int) -> None:
    """Laws that the three policies order differently."""
    table = torch.zeros(2, VOCABULARY.size)
    for row, law in zip(table, laws, strict=True):
        row[3 : 3 + len(law)] = torch.tensor(law)
    noisy = list[Tensor]()
    sampler = Sampler(steps=2, accept=build(Accept, accept), warps=COLD)
    sampler.sample(
        lambda x, t, c, where: table.log()[where.nonzero()[:, 1]],
        process_of("absorbing"),
        canvas_from([[False, False]], [0]),
        on_step=lambda event: noisy.append(event.noisy[0]),
    )
    assert noisy[0].tolist() == [first != 0, first != 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_rank_within_is_the_place_in_the_sorted_group(entries: list[tuple[int, int]]) -> None:
    groups, keys = [g for g, _ in entries], [k for _, k in entries]
    found = rank_within(torch.tensor(groups, dtype=torch.long), torch.tensor(keys, dtype=torch.float64)).tolist()
    for i, (group, key) in enumerate(entries):
        before = [j for j, (g, k) in enumerate(entries) if g == group and (k, j) < (key, i)]
        assert found[i] == len(before)


def test_a_new_policy_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with a name is at once in the list and in recipes, and stands under the laws that all policies obey."""
    monkeypatch.setitem(registry._FAMILIES, Accept, dict(registry._FAMILIES[Accept]))

    @register(Accept, "leftmost")
    @dataclass(frozen=True)
    class LeftmostAccept(Accept):
        """The first noisy positions of each row."""

        width: int = 1

        def plan(self, step: Step) -> Tensor:
            return step.noisy & (step.noisy.cumsum(-1) <= self.width)

    assert "leftmost" in names(Accept)
    sampler = build(Sampler, {"steps": 40, "accept": {"name": "leftmost", "width": 2}})
    assert sampler.accept == LeftmostAccept(width=2)
    assert build(Sampler, to_config(sampler)) == sampler
    for renoise in renoises():
        for process in ("absorbing", "uniform", "hybrid"):
            grid = LoopGrid() if renoise.needs_loop else sampler.grid
            changed = replace(sampler, renoise=renoise, grid=grid, steps=5)
            check_all(
                changed, process_of(process), canvas_from([[False] * 7, [True, False, True, False], []], [1, 2, 3])
            )
    order = list[list[int]]()
    canvas = canvas_from([[False, True, False, False, False]], [0])
    network = wild_denoiser(VOCABULARY)
    sampler.sample(network, process_of("absorbing"), canvas, on_step=lambda e: order.append(e.noisy[0].int().tolist()))
    assert order == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    with pytest.raises(ConfigError, match="Did you mean 'leftmost'"):
        build(Accept, "leftmots")


def test_i4_last_bits_do_not_order_what_is_equally_sure() -> None:
    """All that follows from one choice is as probable as that choice; rounding errors depend on the batch."""
    row = torch.tensor([0, 0, 0, 1, 0, 1])
    exact = torch.tensor([-0.7, 0.0, -0.7, -2.0, 0.0, -1.5])
    for seed in range(20):
        noise = 1e-6 * torch.randn(6, generator=torch.Generator().manual_seed(seed))
        assert rank_by_score(row, exact + noise).tolist() == [2, 0, 3, 1, 1, 0]


@pytest.mark.parametrize(
    ("free", "rounds"),
    [
        (8, [[0], [4], [2, 6], [1, 3, 5, 7]]),
        (6, [[0], [4], [2], [1, 3, 5]]),
        (2, [[0], [1]]),
        (1, [[0]]),
    ],
)
def test_dilated_accept_settles_what_is_far_apart(free: int, rounds: list[list[int]]) -> None:
    """Beside a row whose free positions stand among given ones; all halves again and again."""
    frozen = [[False] * free, [flag for _ in range(free) for flag in (True, False)]]
    settled = list[Tensor]()
    samples = preset("dilated").sample(
        wild_denoiser(VOCABULARY),
        process_of("absorbing"),
        canvas_from(frozen, [1, 2]),
        on_step=lambda event: settled.append(~event.noisy),
    )
    assert samples.nfe.tolist() == [len(rounds)] * 2
    before = set[int]()
    for expected, now in zip(rounds, settled, strict=True):
        before |= set(expected)
        assert now[0, :free].nonzero().squeeze(-1).tolist() == sorted(before)
        assert now[1, 1 : 2 * free : 2].nonzero().squeeze(-1).tolist() == sorted(before)


def test_the_less_sure_a_token_was_the_likelier_it_goes_back() -> None:
    """ReMDM's confidence schedule by hand, arXiv 2503.00307: e^-p over their sum, times what may go back in all."""
    process = process_of("absorbing")
    ids = torch.tensor([[4, 5, VOCABULARY.mask_id, 6]])
    noisy = ids == VOCABULARY.mask_id
    free, valid = torch.tensor([[True, True, True, False]]), torch.ones_like(noisy)
    sure = torch.tensor([[0.9, 0.2, 1.0, 1.0]], dtype=torch.float64).log()
    one = torch.zeros(1, dtype=torch.long)
    t = torch.tensor([0.6], dtype=torch.float64)
    step = begin_step(process, Draws.seeded([0]), one, 4, ids, noisy, free, valid, t, sure)
    found = RemdmConfidenceRenoise().probability(replace(step, s=t / 2))
    most = 0.3 / 0.4  # (1 - alpha_s) / alpha_t with alpha = 1 - t
    total = math.exp(-0.9) + math.exp(-0.2)
    expected = torch.tensor([[math.exp(-0.9), math.exp(-0.2), 0, 0]], dtype=torch.float64) * most / total
    torch.testing.assert_close(found, expected)
