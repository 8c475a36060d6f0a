"""The count form of noise that replaces tokens: its mean by exact sums, and the law of what it draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from oracles import VOCABULARY, canvas_of
from scipy import stats
from test_nelbo import ENTROPY, LANGUAGE, NOISY, STATES, Change, bound, label
from torch import Tensor

from textdiff.draws import Draws
from textdiff.objectives import Corruption, HitForm, TimeForm, estimator_for, stratified
from textdiff.processes import HybridProcess, InterpolatingProcess, UniformProcess
from textdiff.schedules import CosineSchedule

LENGTH = STATES.shape[1]


def law_of_hits(count: int, noise: Tensor) -> Tensor:
    """p(x_t | x_0) [M, R] where `count` positions, each choice of them alike, carry noise of a law [V]."""
    replaced = noise[STATES].expand(len(LANGUAGE.sequences), -1, -1)
    kept = (LANGUAGE.sequences[:, None] == STATES).double()
    choices = list(itertools.combinations(range(LENGTH), count))
    hits = [[i in chosen for i in range(LENGTH)] for chosen in choices]
    return torch.stack([torch.where(torch.tensor(hit), replaced, kept).prod(-1) for hit in hits]).mean(0)


def mean_of(form: HitForm, change: Change, nodes: int = 24) -> float:
    """The mean of the form over all that it may draw, nats a sequence; over s by Gauss-Legendre, as in `bound`."""
    process, many = form.process, len(LANGUAGE.sequences)
    x_0, x_t = LANGUAGE.sequences.repeat_interleave(len(STATES), 0), STATES.repeat(many, 1)
    canvas, everywhere, total = canvas_of(x_0), torch.ones_like(x_0, dtype=torch.bool), torch.tensor([LENGTH])
    u, w = np.polynomial.legendre.leggauss(nodes)
    shares, weights = ((u + 1) / 2) ** 3, 3 * ((u + 1) / 2) ** 2 * w / 2
    found = 0.0
    for share, width in zip(shares, weights, strict=True):
        s = torch.tensor([share], dtype=torch.float64)
        t = process.schedule.inverse(1 - s)
        where = torch.ones_like(STATES, dtype=torch.bool)
        logits = LANGUAGE.denoiser(process)(STATES, t.expand(len(STATES)), canvas_of(STATES), where)
        log_p = change(logits).log_softmax(-1).repeat(many, 1)
        for count in range(LENGTH + 1):
            density = stats.beta.pdf(share, *((count, LENGTH - count + 1) if count else (1, LENGTH + 1)))
            weight = form.weight(torch.tensor([count]), total, s).expand(len(x_0), 1)
            nats = form.nats(canvas, Corruption(x_t, t.expand(len(x_0)), everywhere, weight), log_p)
            law = LANGUAGE.probabilities.unsqueeze(-1) * law_of_hits(count, process.nu(t)[0])
            terms = torch.where(law > 0, law * nats.view(many, -1, LENGTH).sum(-1), 0.0)
            found += width * density * float(terms.sum()) / (LENGTH + 1)
    return found


@pytest.mark.parametrize("process", NOISY, ids=label)
def test_the_mean_of_all_draws_is_the_bound(process: InterpolatingProcess) -> None:
    """With the exact denoiser the bound is the entropy; with another, it is what the integral over t gives."""
    form = estimator_for(process)
    assert isinstance(form, HitForm) and form.for_training == TimeForm(process)
    assert mean_of(form, lambda logits: logits) == pytest.approx(ENTROPY, abs=1e-4)
    other = bound(process, LANGUAGE.denoiser(process), lambda logits: logits / 2, nodes=24)
    assert mean_of(form, lambda logits: logits / 2) == pytest.approx(other, abs=1e-4)
    assert other > ENTROPY + 0.01


@pytest.mark.statistical
@pytest.mark.parametrize(
    "process", [UniformProcess(VOCABULARY, CosineSchedule()), HybridProcess(VOCABULARY)], ids=label
)
def test_what_is_drawn_has_the_stated_law(process: InterpolatingProcess) -> None:
    """Five free tokens of six: how many are hit, when, where, and by what; all p-values above 1e-4."""
    rows, free = 24_000, 5
    ids = torch.full((rows, free + 1), 3)
    frozen = torch.zeros_like(ids, dtype=torch.bool)
    frozen[:, 2] = True
    canvas = canvas_of(ids, frozen, seed=5)
    corruption = HitForm(process).corrupt(
        canvas, stratified(Draws.seeded(1), 0, rows, rows), Draws.seeded(canvas.seeds)
    )
    share, weight = 1 - process.schedule.alpha(corruption.t), corruption.weight.squeeze(-1)
    assert torch.equal(corruption.where, canvas.free)
    # levels rise, and so do the counts
    count = torch.arange(rows) * (free + 1) // rows
    expected = torch.where(count > 0, (free + 1) * share / count.clamp(min=1), 1.0)
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-9)
    changed = (corruption.x_t != ids)[canvas.free].view(rows, free)
    assert bool((changed.sum(-1) <= count).all())
    noise = process.nu(torch.tensor(0.5, dtype=torch.float64))
    for n in range(free + 1):
        here, law = count == n, stats.beta(*((n, free - n + 1) if n else (1, free + 1)))
        assert stats.kstest(share[here].numpy(), law.cdf).pvalue > 1e-4
        if n:
            by_place = changed[here].sum(0).double()
            hits = here.sum() * n / free * (1 - noise[3])
            assert stats.chi2.sf(float(((by_place - hits) ** 2 / hits).sum()), free) > 1e-4
    drawn = torch.bincount(corruption.x_t[canvas.free].view(rows, free)[changed], minlength=VOCABULARY.size).double()
    other = noise.clone()
    other[3] = 0
    wanted = (other / other.sum() * drawn.sum())[other > 0]
    assert float(drawn[other == 0].sum()) == 0
    assert stats.chisquare(drawn[other > 0].numpy(), wanted.numpy()).pvalue > 1e-4


def test_rows_at_the_ends_of_the_axis_are_finite() -> None:
    """The slope of a cosine is 0 at both ends; a row without a free token costs nothing."""
    process, canvas = UniformProcess(VOCABULARY, CosineSchedule()), canvas_of(LANGUAGE.sequences[:3])
    canvas.frozen[2] = True
    form = HitForm(process)
    level = torch.tensor([1e-300, 1 - 2.0**-53, 0.5], dtype=torch.float64)
    corruption = form.corrupt(canvas, level, Draws.seeded(canvas.seeds))
    log_p = torch.where(VOCABULARY.writable(), -math.log(4), -torch.inf).expand(2 * LENGTH, -1)
    nats = form.nats(canvas, corruption, log_p)
    assert bool(nats.isfinite().all()) and bool((nats >= 0).all())
    levelled = form.at_level(canvas, corruption, nats)
    assert all(bool(part.isfinite().all()) for part in levelled)
    assert levelled.tokens[2] == levelled.nats[2] == 0


@pytest.mark.statistical
@pytest.mark.parametrize("process", [NOISY[0], NOISY[2]], ids=label)
def test_the_deviation_is_less_than_that_of_drawn_times(process: InterpolatingProcess) -> None:
    """Of the whole estimate of a text, against times that are spread as evenly."""
    rows = 1000
    canvas = canvas_of(LANGUAGE.sequences[:1].repeat(rows, 1), seed=3)
    level = stratified(Draws.seeded(1), 0, rows, rows)
    deviations = []
    for form in (HitForm(process), TimeForm(process)):
        corruption = form.corrupt(canvas, level, Draws.seeded(canvas.seeds))
        log_p = LANGUAGE.denoiser(process)(corruption.x_t, corruption.t, canvas, corruption.where).log_softmax(-1)
        nats = torch.zeros(rows, dtype=torch.float64)
        nats.index_add_(0, corruption.row, form.nats(canvas, corruption, log_p))
        deviations.append(float(nats.std()))
    assert deviations[0] < 0.7 * deviations[1]
