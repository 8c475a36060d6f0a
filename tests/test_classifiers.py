"""Guidance by a classifier: conditional laws by enumeration, the chains of other weights, first order against derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import chains
import pytest
import torch
from fakes import from_table, state_number, states, wild_denoiser
from oracles import VOCABULARY, ToyLanguage, canvas_of
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from
from test_sampling_chain import (
    ERROR_RATE,
    LANGUAGE,
    chain,
    laws_at,
    other,
    p_value,
    process_of,
    pure_noise,
    run_chain,
    uniform_times,
    weight_at,
    wild,
)
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Classifier, Sampler, preset
from textdiff.sampling.accept import FirstHittingAccept
from textdiff.sampling.classifiers import by_gradient, by_substitution
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.transitions import EulerTransition, PosteriorTransition
from textdiff.text.canvas import Canvas

LABEL = torch.rand(16, generator=torch.Generator().manual_seed(8), dtype=torch.float64) ** 2
"""p(y | x_0) of each sequence of the language."""
WANTED = ToyLanguage(
    VOCABULARY, LANGUAGE.sequences, LANGUAGE.probabilities * LABEL / (LANGUAGE.probabilities * LABEL).sum()
)
"""The language given the label."""
ABSORBING, UNIFORM = process_of("absorbing"), process_of("uniform")


def exact(process: ForwardProcess, t: float) -> Tensor:
    """p(y | x_t) of every state, by Bayes' rule over all sequences, [S]; 1 where a state cannot be."""
    seen = LANGUAGE.noisy(process, t, states(VOCABULARY, 2)) * LANGUAGE.probabilities[:, None]
    return ((seen * LABEL[:, None]).sum(0) / seen.sum(0)).nan_to_num(1.0)


def classifier_of(table: Tensor | Callable[[float], Tensor]) -> Classifier:
    """From p(y | state) [S], or that as a function of the time."""

    def log_p(ids: Tensor, t: Tensor, canvas: Canvas) -> Tensor:
        if isinstance(table, Tensor):
            return table.log()[state_number(ids, VOCABULARY)]
        found = torch.empty(len(ids), dtype=torch.float64)
        for time in t.unique().tolist():
            found[t == time] = table(time).log()[state_number(ids[t == time], VOCABULARY)]
        return found

    return by_substitution(log_p, VOCABULARY.size)


def vague(t: float) -> Tensor:
    """Any classifier: p(y | state), others at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t) + 1)
    return 0.1 + 0.9 * torch.rand(VOCABULARY.size**2, generator=generator, dtype=torch.float64)


def said(table: Tensor) -> Tensor:
    """p(y | state with token v at place i), [S, 2, V], by writing each of them."""
    ids = states(VOCABULARY, 2)
    found = torch.empty(len(ids), 2, VOCABULARY.size, dtype=torch.float64)
    for place in (0, 1):
        for token in range(VOCABULARY.size):
            changed = ids.clone()
            changed[:, place] = token
            found[:, place, token] = table[state_number(changed, VOCABULARY)]
    return found


def bent(laws: Tensor, table: Tensor, gamma: float) -> Tensor:
    weights = laws * said(table) ** gamma
    return weights / weights.sum(-1, keepdim=True)


def guided_p_value(sampler: Sampler, process: ForwardProcess, laws, classifier: Classifier, expected: Tensor) -> float:  # type: ignore[no-untyped-def]
    """As in the tests of other samplers."""
    bound = GuidedSampler(sampler, classifier)
    return p_value(bound, process, laws, expected)  # type: ignore[arg-type]


class GuidedSampler:
    def __init__(self, sampler: Sampler, classifier: Classifier) -> None:
        self.sampler, self.classifier = sampler, classifier

    def sample(self, denoiser: Denoiser, process: ForwardProcess, canvas: Canvas, weak: Denoiser | None = None):  # type: ignore[no-untyped-def]
        return self.sampler.sample(denoiser, process, canvas, weak=weak, classifier=self.classifier)


def test_with_masks_an_exact_classifier_gives_the_exact_denoiser_of_what_is_wanted() -> None:
    """p(x_0 at i | others, y) in proportion to p(x_0 at i | others) p(y | others, x_0 at i)."""
    ids = states(VOCABULARY, 2)
    masked = (ids == VOCABULARY.mask_id) & (ids >= 1).all(-1, keepdim=True)
    found = bent(laws_at(ABSORBING, 0.5), exact(ABSORBING, 0.5), 1.0)[masked]
    conditional = WANTED.denoiser(ABSORBING)(ids, torch.tensor(0.5), canvas_of(ids), masked).exp()
    assert len(found) > 5
    torch.testing.assert_close(found, conditional)


@pytest.mark.statistical
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_one_token_at_a_time_it_writes_what_is_wanted(gamma: float) -> None:
    sampler = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept(), guidance=Guidance(classifier=gamma))
    laws, classifier = laws_at(ABSORBING, 0.5), classifier_of(exact(ABSORBING, 0.5))
    expected = WANTED.probabilities if gamma else LANGUAGE.probabilities
    assert guided_p_value(sampler, ABSORBING, laws, classifier, expected) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize("guidance", [Guidance(classifier=0.5), Guidance(classifier=3.0), Guidance(1.0, "rising", 3.0)])
def test_any_classifier_with_masks_bends_the_laws_of_x_0(guidance: Guidance) -> None:
    def kernel(s: float, t: float) -> Tensor:
        gamma = guidance.classifier * (1 if guidance.schedule == "constant" else 1 - t)
        return chains.posterior(ABSORBING, bent(wild(t), vague(t), gamma), s, t)

    expected = chain(ABSORBING, 3, kernel)
    if guidance.schedule == "constant":
        sampler = Sampler(steps=3, guidance=guidance)
    else:
        sampler = Sampler(steps=3, transition=PosteriorTransition(), guidance=guidance)
    assert guided_p_value(sampler, ABSORBING, wild, classifier_of(vague), expected) > ERROR_RATE


def uniform_kernel(laws: Tensor, table: Tensor, gamma: float, s: float, t: float) -> Tensor:
    return chains.independent(bent(chains.moves(UNIFORM, laws, s, t), table, gamma), states(VOCABULARY, 2))


@pytest.mark.statistical
def test_with_other_noise_it_bends_the_laws_of_x_s() -> None:
    expected = chain(UNIFORM, 3, lambda s, t: uniform_kernel(wild(t), vague(t), 2.0, s, t))
    sampler = Sampler(steps=3, transition=PosteriorTransition(), guidance=Guidance(classifier=2.0))
    assert guided_p_value(sampler, UNIFORM, wild, classifier_of(vague), expected) > ERROR_RATE


def test_with_other_noise_it_comes_to_write_what_is_wanted() -> None:
    """By the chain of the test above with an exact classifier: half the distance in twice the steps."""
    distances = []
    for steps in (32, 64):
        kernels = [uniform_kernel(laws_at(UNIFORM, t), exact(UNIFORM, t), 1.0, s, t) for s, t in uniform_times(steps)]
        law = run_chain(pure_noise(UNIFORM), kernels)
        distances.append(float((law - WANTED.probabilities).abs().sum()) / 2)
    assert distances[0] < 0.06
    assert distances[0] / distances[1] == pytest.approx(2, rel=0.1)


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["absorbing", "uniform"])
def test_both_kinds_of_guidance_go_together(name: str) -> None:
    process, guidance = process_of(name), Guidance(2.0, classifier=1.5)

    def kernel(s: float, t: float) -> Tensor:
        weight = weight_at(guidance, t)
        if name == "absorbing":
            return chains.posterior(process, bent(chains.guided(wild(t), other(t), weight), vague(t), 1.5), s, t)
        sides = [chains.moves(process, laws, s, t) for laws in (wild(t), other(t))]
        return chains.independent(bent(chains.guided(*sides, weight), vague(t), 1.5), states(VOCABULARY, 2))

    sampler = GuidedSampler(Sampler(steps=2, transition=PosteriorTransition(), guidance=guidance), classifier_of(vague))
    weak = from_table(other, VOCABULARY)
    assert p_value(sampler, process, wild, chain(process, 2, kernel), weak) > ERROR_RATE  # type: ignore[arg-type]


def test_of_weight_0_it_is_not_asked() -> None:
    def never(*_: object) -> Tensor:
        raise AssertionError("the classifier was asked")

    canvas = canvas_of(torch.zeros(50, 2, dtype=torch.long))
    for process in (ABSORBING, UNIFORM):
        for sampler in (Sampler(steps=3), Sampler(steps=3, transition=PosteriorTransition())):
            plain = sampler.sample(from_table(wild, VOCABULARY), process, canvas)
            found = sampler.sample(from_table(wild, VOCABULARY), process, canvas, classifier=never)
            assert torch.equal(found.ids, plain.ids) and torch.equal(found.nfe, plain.nfe)


def test_one_that_says_the_same_of_all_changes_nothing() -> None:
    canvas = canvas_of(torch.zeros(300, 2, dtype=torch.long))
    indifferent = classifier_of(torch.full((VOCABULARY.size**2,), 0.3, dtype=torch.float64))
    for process in (ABSORBING, UNIFORM):
        for sampler in (Sampler(steps=3), Sampler(steps=3, transition=EulerTransition())):
            plain = sampler.sample(from_table(wild, VOCABULARY), process, canvas)
            sampler = replace(sampler, guidance=Guidance(classifier=4.0))
            assert torch.equal(
                sampler.sample(from_table(wild, VOCABULARY), process, canvas, classifier=indifferent).ids, plain.ids
            )


def test_what_it_rules_out_is_not_written() -> None:
    """Unless there is nothing else."""
    table = torch.zeros(VOCABULARY.size**2, dtype=torch.float64)
    table[(states(VOCABULARY, 2) == 3).any(-1)] = 1.0
    canvas = canvas_of(torch.zeros(200, 2, dtype=torch.long))
    sampler = replace(preset("first_hitting"), guidance=Guidance(classifier=1.0))
    ids = sampler.sample(from_table(wild, VOCABULARY), ABSORBING, canvas, classifier=classifier_of(table)).ids
    assert (ids == 3).any(-1).all()


def senseless(ids: Tensor, t: Tensor, canvas: Canvas) -> Tensor:
    """log p of all valid tokens, through integers."""
    place = torch.arange(ids.shape[1])
    code = ((ids + 2) * (5 * place + 3) * canvas.valid).sum(-1) + (t * 7).long()
    return -(code % 17).double() / 5


@pytest.mark.parametrize("process", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("name", ["ancestral", "posterior", "diffusion_gemma", "euler", "remdm", "mask_predict"])
def test_the_batch_does_not_matter(name: str, process: str) -> None:
    noise = build(ForwardProcess, process, vocabulary=WIDE)
    sampler = replace(preset(name), steps=5, guidance=Guidance(classifier=2.0))
    canvas, network = canvas_from([[False] * 6, [True, False, False], [False, False]], [1, 2, 3]), wild_denoiser(WIDE)
    classifier = by_substitution(senseless, WIDE.size)
    samples = sampler.sample(network, noise, canvas, classifier=classifier)
    plain = replace(sampler, guidance=Guidance()).sample(network, noise, canvas)
    assert not torch.equal(samples.ids, plain.ids)
    assert torch.equal(samples.ids[~canvas.free], canvas.ids[~canvas.free])
    backwards = torch.tensor([2, 1, 0])
    flipped = sampler.sample(network, noise, canvas.rows(backwards), classifier=classifier)
    assert torch.equal(flipped.ids, samples.ids[backwards])
    wider = canvas_from([[True, False, False]], [2], extra=5)
    alone = sampler.sample(network, noise, wider, classifier=classifier)
    assert torch.equal(alone.ids[0, :3], samples.ids[1, :3])


def test_first_order_is_exact_where_the_classifier_is_linear() -> None:
    generator = torch.Generator().manual_seed(1)
    table, slopes = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((9, 4), (5, 4)))
    canvas = canvas_from([[False] * 5, [False, True, False]], [1, 2])
    where = canvas.free & (torch.rand(2, 5, generator=generator) < 0.7)
    t = torch.ones(2, dtype=torch.float64)

    def embedded(embeddings: Tensor, canvas: Canvas) -> Tensor:
        return ((embeddings * slopes).sum(-1) * canvas.valid).sum(-1)

    def log_p(ids: Tensor, t: Tensor, canvas: Canvas) -> Tensor:
        return embedded(table[ids], canvas)

    found = by_gradient(embedded, table)(canvas.ids, t, canvas, where).log_softmax(-1)
    expected = by_substitution(log_p, 9)(canvas.ids, t, canvas, where).log_softmax(-1)
    assert len(found) > 3
    torch.testing.assert_close(found, expected)


def test_first_order_is_the_slope_of_any_classifier() -> None:
    """Against difference quotients along the way from what stands to each token."""
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    canvas = canvas_from([[False] * 3], [1])

    def embedded(embeddings: Tensor, canvas: Canvas) -> Tensor:
        return torch.tanh(embeddings.sum(1) ** 2).sum(-1)

    found = by_gradient(embedded, table)(canvas.ids, torch.ones(1), canvas, canvas.free)
    here = table[canvas.ids]
    for place in range(3):
        for token in range(9):
            step = torch.zeros_like(here)
            step[0, place] = 1e-6 * (table[token] - here[0, place])
            slope = float(embedded(here + step, canvas) - embedded(here - step, canvas)) / 2e-6
            stands = int(canvas.ids[0, place])
            assert float(found[place, token] - found[place, stands]) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(ConfigError, match="the weight of the classifier must be a finite number of at least 0"):
        Guidance(classifier=weight)
    with pytest.raises(ConfigError, match="no classifier is given"):
        Sampler(guidance=Guidance(classifier=1.0)).sample(
            from_table(wild, VOCABULARY), ABSORBING, canvas_of(torch.zeros(1, 2, dtype=torch.long))
        )
