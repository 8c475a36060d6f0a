"""Steps that decide anew and draw the rest from noise, against chains that are written out; DiffusionGemma's sampler."""

from __future__ import annotations

import math
from dataclasses import replace

import chains
import pytest
import torch
from fakes import from_table, state_number, states, wild_denoiser
from oracles import VOCABULARY, canvas_of, transitions
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from, check_all
from test_sampling_chain import ERROR_RATE, LANGUAGE, chain, laws_at, p_value, process_of, step_of, wild
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, preset
from textdiff.sampling.accept import EntropyBoundAccept, RandomAccept, TopKAccept
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.stops import AllSettledStop, EntropyStop
from textdiff.sampling.transitions import AcceptTransition, FreshNoiseTransition
from textdiff.sampling.warps import CoolingWarp, TemperatureWarp
from textdiff.text.canvas import Canvas

UNIFORM = process_of("uniform")
FRESH = FreshNoiseTransition()


def bounded(law: Tensor, gamma: float) -> list[int]:
    """The surest positions with sum H - max H <= gamma, one at least."""
    entropy = -torch.special.xlogy(law, law).sum(-1)
    order = entropy.argsort(stable=True).tolist()
    return order if float(entropy.min()) <= gamma else order[:1]


@pytest.mark.statistical
@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.15, 9.0])
def test_entropy_bound_with_fresh_noise(gamma: float) -> None:
    def kernel(s: float, t: float) -> Tensor:
        return chains.fresh_noise(UNIFORM, wild(t), s, t, lambda law, proposal: bounded(law, gamma))

    sampler = Sampler(steps=4, transition=FRESH, accept=EntropyBoundAccept(gamma))
    assert p_value(sampler, UNIFORM, wild, chain(UNIFORM, 4, kernel)) > ERROR_RATE


@pytest.mark.statistical
def test_policies_that_follow_the_schedule_count_from_pure_noise() -> None:
    """Of two tokens one is kept at s = 1/2, whatever was kept before; the surest proposal."""

    def choose(law: Tensor, proposal: Tensor) -> list[int]:
        return [int(chains.confidence(law, proposal).argmax())]

    expected = chain(UNIFORM, 2, lambda s, t: chains.fresh_noise(UNIFORM, wild(t), s, t, choose))
    assert p_value(Sampler(steps=2, transition=FRESH, accept=TopKAccept()), UNIFORM, wild, expected) > ERROR_RATE


def renewed(process: ForwardProcess, laws: Tensor, s: float, t: float) -> Tensor:
    """x_s ~ q(x_s | x_0) for x_0 ~ p(x_0 | x_t), position by position."""
    law = chains.moves(process, laws, 0.0, t) @ transitions(process, 0.0, s)
    return chains.independent(law, states(process.vocabulary, 2))


@pytest.mark.statistical
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_random_acceptance_noises_the_proposal_to_s(schedule: str) -> None:
    process = process_of("uniform", schedule=schedule)
    expected = chain(process, 4, lambda s, t: renewed(process, wild(t), s, t))
    assert p_value(Sampler(steps=4, transition=FRESH, accept=RandomAccept()), process, wild, expected) > ERROR_RATE


@pytest.mark.parametrize(("s", "t"), [(0.5, 0.8), (0.1, 0.2), (0.3, 1.0)])
def test_random_acceptance_keeps_the_marginals_of_an_exact_denoiser(s: float, t: float) -> None:
    """By the kernel of the test above: from noised data each token has the law of data that is noised to s."""
    at = [LANGUAGE.noisy(UNIFORM, time, states(VOCABULARY, 2)).T @ LANGUAGE.probabilities for time in (t, s)]
    law = step_of(at[0], renewed(UNIFORM, laws_at(UNIFORM, t), s, t))
    for column in states(VOCABULARY, 2).T:
        found, expected = (torch.zeros(6).double().index_add(0, column, weights) for weights in (law, at[1]))
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.statistical
def test_the_policy_sees_warped_distributions() -> None:
    """Cold enough, both tokens are sure enough to be kept; by the laws themselves one is."""
    laws = wild(1.0)

    def cold(t: float) -> Tensor:
        sharp = wild(t) ** (1 / 0.35)
        return sharp / sharp.sum(-1, keepdim=True)

    gamma = 1.1
    number = state_number(torch.tensor([[2, 3]]), VOCABULARY)
    assert len(bounded(chains.moves(UNIFORM, cold(1.0), 0.0, 1.0)[number][0], gamma)) == 2
    assert len(bounded(chains.moves(UNIFORM, laws, 0.0, 1.0)[number][0], gamma)) == 1

    def kernel(s: float, t: float) -> Tensor:
        return chains.fresh_noise(UNIFORM, cold(t), s, t, lambda law, proposal: bounded(law, gamma))

    sampler = Sampler(steps=3, transition=FRESH, accept=EntropyBoundAccept(gamma), warps=(TemperatureWarp(0.35),))
    assert p_value(sampler, UNIFORM, wild, chain(UNIFORM, 3, kernel)) > ERROR_RATE


def test_a_greedy_end_writes_the_most_probable_tokens() -> None:
    canvas, network = canvas_from([[False] * 30], [3]), wild_denoiser(WIDE)
    process, seen = build(ForwardProcess, "uniform", vocabulary=WIDE), list[Tensor]()

    def noting(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits = network(x_t, t, canvas, where)
        seen.append(process.posterior(logits.log_softmax(-1), x_t[where], torch.zeros_like(t), t).argmax(-1))
        return logits

    for warps in ((), (TemperatureWarp(3.0),)):
        sampler = Sampler(steps=4, transition=FreshNoiseTransition(greedy_end=True), accept=TopKAccept(), warps=warps)
        assert torch.equal(sampler.sample(noting, process, canvas).ids[0], seen[-1])


def test_what_is_not_accepted_is_drawn_again_and_what_is_accepted_stands() -> None:
    """Beside a network that is sure of one token: it stands from the first step on, all others change."""
    ids = list[Tensor]()

    def network(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits = torch.zeros(int(where.sum()), WIDE.size).masked_fill(~WIDE.writable(), -torch.inf)
        logits[where.nonzero()[:, 1] == 0, 5] = 90.0
        return logits

    process = build(ForwardProcess, "uniform", vocabulary=WIDE)
    sampler = Sampler(steps=40, transition=FRESH, accept=EntropyBoundAccept(0.0))
    canvas = canvas_from([[False] * 20], [1])
    sampler.sample(network, process, canvas, on_step=lambda event: ids.append(event.ids[0]))
    written = torch.stack(ids)
    assert (written[:, 0] == 5).all()
    repeats = (written[1:, 2:] == written[:-1, 2:]).double().mean()  # the second is the one that may be unsure
    assert abs(float(repeats) - 1 / int(WIDE.writable().sum())) < 0.06


@pytest.mark.parametrize("accept", ["random", "top_k", "entropy_bound"])
def test_with_masks_it_is_the_accept_transition(accept: str) -> None:
    process, canvas = (
        build(ForwardProcess, "absorbing", vocabulary=WIDE),
        canvas_from([[False] * 9, [True, False]], [3, 4]),
    )
    found, expected = (
        build(Sampler, {"steps": 4, "accept": accept, "transition": transition}).sample(
            wild_denoiser(WIDE), process, canvas
        )
        for transition in (FRESH, AcceptTransition())
    )
    assert torch.equal(found.ids, expected.ids) and torch.equal(found.nfe, expected.nfe)


def test_cooling_by_time_is_linear_in_the_step() -> None:
    """What DiffusionGemma does: t_min + (t_max - t_min) n / N with n of N steps to come."""
    law = torch.tensor([0.0, 0.0, 0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    warp, told = CoolingWarp(0.8, 0.4, by="time"), list[Tensor]()

    class Noting(CoolingWarp):
        def at(self, step):  # type: ignore[no-untyped-def]
            told.append(warp.at(step)(law.log().expand(len(step.row), -1)).exp()[0])
            return super().at(step)

    sampler = Sampler(steps=4, transition=FRESH, accept=EntropyBoundAccept(), warps=(Noting(0.8, 0.4, by="time"),))
    sampler.sample(from_table(wild, VOCABULARY), UNIFORM, canvas_of(torch.zeros(3, 2, dtype=torch.long)))
    for found, n in zip(told, (4, 3, 2, 1), strict=True):
        expected = law ** (1 / (0.4 + 0.4 * n / 4))
        torch.testing.assert_close(found, expected / expected.sum())


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid", "matrix"])
def test_the_preset_with_every_noise(process: str) -> None:
    noise, canvas = (
        build(ForwardProcess, process, vocabulary=WIDE),
        canvas_from([[False] * 7, [True, False, True], []], [1, 2, 3]),
    )
    for steps, stop in (
        (1, AllSettledStop()),
        (6, AllSettledStop()),
        (9, EntropyStop(0.6)),
        (48, preset("diffusion-gemma").stop),
    ):
        check_all(replace(preset("diffusion_gemma"), steps=steps, stop=stop), noise, canvas)


def test_a_sure_network_ends_it_after_two_calls() -> None:
    """The guess must be the same twice."""
    logits = torch.full((WIDE.size,), -90.0).index_fill(0, torch.tensor([5]), 0.0)
    process = build(ForwardProcess, "uniform", vocabulary=WIDE)
    samples = preset("diffusion_gemma").sample(
        lambda x_t, t, canvas, where: logits.expand(int(where.sum()), -1), process, canvas_from([[False] * 8], [1])
    )
    assert samples.ids.tolist() == [[5] * 8] and samples.nfe.tolist() == [2]


def test_guidance_goes_with_it() -> None:
    sampler = Sampler(steps=3, transition=FRESH, accept=EntropyBoundAccept(0.9), guidance=Guidance(0.0))
    canvas = canvas_of(torch.zeros(200, 2, dtype=torch.long))
    weak = from_table(lambda t: wild(t + 2), VOCABULARY)
    found = sampler.sample(from_table(wild, VOCABULARY), UNIFORM, canvas, weak=weak)
    assert torch.equal(found.ids, replace(sampler, guidance=Guidance()).sample(weak, UNIFORM, canvas).ids)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"renoise": "remdm_cap"}, "leave renoise out"),
        ({"grid": "adaptive", "accept": "entropy_bound"}, "adaptive grid needs"),
        ({"warps": [{"name": "cooling", "by": "share"}]}, "by"),
    ],
)
def test_what_does_not_go_with_it(policy: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, {"transition": "fresh_noise", **policy})
    assert math.isclose(preset("diffusion_gemma").accept.gamma, 0.1)  # type: ignore[attr-defined]
