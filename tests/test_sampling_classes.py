"""Positions that take their tokens from one class each."""

from __future__ import annotations

from dataclasses import replace

import chains
import pytest
import scipy.stats
import torch
from fakes import Counted, from_table, state_number, tabulate, wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import VOCABULARY as TOY
from oracles import ToyLanguage, canvas_of
from sampling_laws import VOCABULARY, alone, canvas_from, renoises

from textdiff.processes import ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Accept, Sampler, TokenClasses
from textdiff.sampling.accept import FirstHittingAccept
from textdiff.sampling.grids import FirstHittingGrid, LoopGrid, UniformGrid

LENGTH = 9
WRITABLE = VOCABULARY.writable()
ODD = WRITABLE & (torch.arange(VOCABULARY.size) % 2 == 1)
TABLE = torch.stack([WRITABLE, ODD, WRITABLE & ~ODD])


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def samplers() -> list[Sampler]:
    """Every accept policy with every renoise policy, and the samplers that have none."""
    mixed = [
        Sampler(accept=build(Accept, name), renoise=renoise, grid=LoopGrid() if renoise.needs_loop else UniformGrid())
        for name in names(Accept)
        for renoise in renoises()
    ]
    first_hitting = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept())
    return [*mixed, first_hitting, *alone()]


@settings(max_examples=30)
@given(
    which=st.lists(st.integers(0, 2), min_size=LENGTH, max_size=LENGTH),
    frozen=st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH),
    sampler=st.sampled_from(samplers()),
    process=st.sampled_from(["absorbing", "uniform", "hybrid"]),
    seed=st.integers(0, 99),
)
def test_token_classes_hold_always(
    which: list[int], frozen: list[bool], sampler: Sampler, process: str, seed: int
) -> None:
    if isinstance(sampler.grid, FirstHittingGrid):
        process = "absorbing"
    canvas, classes = canvas_from([frozen], [seed]), torch.tensor([which])
    counted = Counted(wild_denoiser(VOCABULARY, seed))
    samples = replace(sampler, steps=4).sample(counted, process_of(process), canvas, TokenClasses(TABLE, classes))
    assert TABLE[classes, samples.ids][canvas.free].all()
    assert torch.equal(samples.ids[~canvas.free], canvas.ids[~canvas.free])
    assert counted.rows == int(samples.nfe.sum()) <= max(4, LENGTH)


@pytest.mark.statistical
def test_token_classes_condition_each_step_of_the_chain() -> None:
    """With dependent tokens: the enumerated chain of the denoiser whose laws are restricted. Error rate 1e-4."""
    language = ToyLanguage.random(length=2, seed=3)
    process = build(ForwardProcess, "absorbing", vocabulary=TOY)
    table, which = torch.zeros(2, TOY.size, dtype=torch.bool), torch.tensor([[0, 1]])
    table[0, [2, 3, 5]] = True
    table[1, [3, 4]] = True
    laws = tabulate(language.denoiser(process), TOY, 2, 0.5)
    restricted = laws * table[which]
    restricted = restricted / restricted.sum(-1, keepdim=True)
    law = torch.zeros(TOY.size**2, dtype=torch.float64)
    law[state_number(torch.tensor([[1, 1]]), TOY)] = 1
    for s, t in ((2 / 3, 1.0), (1 / 3, 2 / 3), (0.0, 1 / 3)):
        kernel = chains.remdm(TOY, restricted, 1 - s, 1 - t, 0.0)
        law = (law[:, None] * torch.where(law[:, None] > 0, kernel, 0.0)).sum(0)
    expected = law[state_number(language.sequences, TOY)]
    rows = 40_000
    canvas = canvas_of(torch.zeros(rows, 2, dtype=torch.long), seed=4)
    ids = (
        Sampler(steps=3).sample(from_table(laws, TOY), process, canvas, TokenClasses(table, which.expand(rows, 2))).ids
    )
    counts = torch.bincount(language.index(ids), minlength=16).to(torch.float64)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert scipy.stats.chisquare(counts[possible], expected[possible] * rows).pvalue > 1e-4
