"""Constraints hold always, on networks with no sense, however many tokens settle at once; they bend no law in vain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import chains
import pytest
import scipy.stats
import torch
from fakes import Counted, from_table, state_number, states, tabulate, wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import VOCABULARY as TOY
from oracles import ToyLanguage, canvas_of
from sampling_laws import VOCABULARY, canvas_from, renoises
from torch import Tensor

from textdiff.errors import DataError, UsageError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Accept, AllOf, Constraint, CountRange, Sampler, TokenClasses
from textdiff.sampling.accept import FirstHittingAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.text.canvas import Canvas

LENGTH = 8
ANYTHING, ODD, EVEN, FILLER = range(4)
TABLE = torch.stack([torch.tensor([rule(v) for v in range(VOCABULARY.size)]) for rule in (
    lambda v: True, lambda v: v % 2 == 1, lambda v: v % 2 == 0, lambda v: v == VOCABULARY.filler_id
)])  # fmt: skip
COUNTS = torch.stack([torch.tensor([v > 5 for v in range(VOCABULARY.size)])] * 4)


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def samplers() -> list[Sampler]:
    """Every accept policy with every renoise policy, the posterior and first hitting."""
    mixed = [Sampler(accept=build(Accept, name), renoise=renoise) for name in names(Accept) for renoise in renoises()]
    first_hitting = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept())
    return [*mixed, first_hitting, Sampler(transition=PosteriorTransition())]


@dataclass(frozen=True)
class Case:
    """Rows with positions of classes in groups, and bounds that can be met."""

    canvas: Canvas
    constraint: CountRange


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One to three rows of eight positions, some given, in up to three groups."""
    rows = draw(st.integers(1, 3))
    frozen = [
        draw(st.lists(st.sampled_from([False, False, False, True]), min_size=LENGTH, max_size=LENGTH))
        for _ in range(rows)
    ]
    grid = st.lists(st.integers(0, 3), min_size=LENGTH * rows, max_size=LENGTH * rows)
    which = torch.tensor(draw(grid)).view(rows, LENGTH)
    group = torch.tensor(draw(grid)).view(rows, LENGTH) - 1
    canvas = canvas_from(frozen, range(rows))
    writable = TABLE & VOCABULARY.writable()
    can, cannot = (writable & COUNTS).any(-1)[which], (writable & ~COUNTS).any(-1)[which]
    low, high = torch.zeros(rows, 3, dtype=torch.long), torch.zeros(rows, 3, dtype=torch.long)
    for row in range(rows):
        for g in range(3):
            inside = canvas.free[row] & (group[row] == g)
            least, most = int((inside & ~cannot[row]).sum()), int((inside & can[row]).sum())
            bounds = sorted(draw(st.tuples(st.integers(least, most), st.integers(least, most))))
            low[row, g] = max(bounds[0] - (3 if bounds[0] == least else 0), 0)
            high[row, g] = bounds[1] + (3 if bounds[1] == most else 0)
    return Case(canvas, CountRange(COUNTS, which, group, low, high, TABLE & VOCABULARY.writable()))


def check_counts(constraint: CountRange, canvas: Canvas, ids: Tensor) -> None:
    assert constraint.table is not None
    for row in range(len(ids)):
        for g in range(constraint.low.shape[1]):
            inside = canvas.free[row] & (constraint.group[row] == g)
            count = int(constraint.weight[constraint.which[row], ids[row]][inside].sum())
            assert constraint.low[row, g] <= count <= constraint.high[row, g]
    free = canvas.free
    assert constraint.table[constraint.which[free], ids[free]].all()


@settings(max_examples=60)
@given(
    case=cases(),
    sampler=st.sampled_from(samplers()),
    steps=st.integers(1, 9),
    process=st.sampled_from(["absorbing", "uniform", "hybrid"]),
    seed=st.integers(0, 99),
)
def test_count_range_holds_always(case: Case, sampler: Sampler, steps: int, process: str, seed: int) -> None:
    sampler, canvas = replace(sampler, steps=steps), case.canvas
    if isinstance(sampler.grid, FirstHittingGrid):
        process = "absorbing"
    network = wild_denoiser(VOCABULARY, seed)
    samples = sampler.sample(network, process_of(process), canvas, case.constraint)
    check_counts(case.constraint, canvas, samples.ids)
    assert torch.equal(samples.ids[~canvas.free], canvas.ids[~canvas.free])
    assert (samples.nfe <= steps + canvas.free.sum(-1)).all()
    backwards = torch.arange(len(canvas.ids)).flip(0)
    again = sampler.sample(network, process_of(process), canvas.rows(backwards), case.constraint.rows(backwards))
    assert torch.equal(again.ids, samples.ids[backwards])


@settings(max_examples=40)
@given(
    which=st.lists(st.integers(0, 3), min_size=LENGTH, max_size=LENGTH),
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


def test_counts_are_met_when_everything_settles_at_once() -> None:
    """300 rows in one step: bounds that chance would meet in one row of many are met in all, and every count occurs."""
    rows = 300
    canvas = canvas_from([[False] * 6] * rows, range(rows))
    zeros = torch.zeros(rows, 6, dtype=torch.long)
    low, high = torch.full((rows, 1), 4), torch.full((rows, 1), 5)
    constraint = CountRange(COUNTS, zeros, zeros, low, high, TABLE & VOCABULARY.writable())
    samples = Sampler(steps=1).sample(wild_denoiser(VOCABULARY), process_of("absorbing"), canvas, constraint)
    counts = (samples.ids > 5).sum(-1)
    assert set(counts.tolist()) == {4, 5}
    assert int(samples.nfe.max()) > 1  # some tokens had to wait for another step
    assert (samples.nfe <= 1 + 6).all()


def test_a_position_that_must_count_is_kept_room_for() -> None:
    """The last position cannot but count; the others must leave it the only place that `high` has."""
    rows = 50
    which = torch.tensor([[ANYTHING] * 5 + [1]]).expand(rows, 6)
    table = torch.stack([VOCABULARY.writable(), VOCABULARY.writable() & COUNTS[0]])
    ones = torch.ones(rows, 1, dtype=torch.long)
    constraint = CountRange(COUNTS[:2], which, torch.zeros_like(which), ones, ones, table)
    for sampler in samplers():
        canvas = canvas_from([[False] * 6] * rows, range(rows))
        ids = (
            replace(sampler, steps=3).sample(wild_denoiser(VOCABULARY), process_of("absorbing"), canvas, constraint).ids
        )
        assert (ids[:, 5] > 5).all() and (ids[:, :5] <= 5).all()


def test_loose_bounds_change_nothing() -> None:
    """Bounds that cannot be broken leave every draw as it was."""
    canvas = canvas_from([[False] * LENGTH] * 3, [1, 2, 3])
    zeros = torch.zeros(3, LENGTH, dtype=torch.long)
    bounds = torch.zeros(3, 1, dtype=torch.long)
    constraint = AllOf((CountRange(COUNTS, zeros, zeros, bounds, bounds + LENGTH), TokenClasses(TABLE, zeros)))
    for sampler in (replace(sampler, steps=6) for sampler in samplers()):
        network = wild_denoiser(VOCABULARY)
        bound = sampler.sample(network, process_of("absorbing"), canvas, constraint)
        assert torch.equal(bound.ids, sampler.sample(network, process_of("absorbing"), canvas).ids)


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", [Sampler(steps=3), Sampler(steps=3, transition=PosteriorTransition())])
@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_token_classes_condition_a_language_of_independent_tokens(sampler: Sampler, process: str) -> None:
    """By brute force: the language's own sequences that satisfy the constraint, renormalised. Error rate 1e-4."""
    if process == "uniform" and sampler == Sampler(steps=3):
        sampler = Sampler(steps=1)  # in one step accepted proposals have the law of the posterior
    tokens = ToyLanguage.random(length=1, seed=5).probabilities
    language = ToyLanguage(TOY, ToyLanguage.random(length=2).sequences, (tokens[:, None] * tokens).flatten())
    noise = build(ForwardProcess, process, vocabulary=TOY)
    table, which = torch.zeros(2, TOY.size, dtype=torch.bool), torch.tensor([[0, 1]])
    table[0, [2, 3, 5]] = True
    table[1, [3, 4]] = True
    fits = table[which, language.sequences].all(-1)
    expected = language.probabilities * fits / (language.probabilities * fits).sum()
    network = from_table(lambda t: tabulate(language.denoiser(noise), TOY, 2, t), TOY)
    rows = 20_000
    canvas = canvas_of(torch.zeros(rows, 2, dtype=torch.long), seed=3)
    ids = sampler.sample(network, noise, canvas, TokenClasses(table, which.expand(rows, 2))).ids
    counts = torch.bincount(language.index(ids), minlength=16).to(torch.float64)
    assert counts[~fits].sum() == 0
    assert scipy.stats.chisquare(counts[fits], expected[fits] * rows).pvalue > 1e-4


@pytest.mark.statistical
def test_token_classes_condition_each_step_of_the_chain() -> None:
    """With dependent tokens: the enumerated chain of the denoiser whose laws are restricted and renormalised."""
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
    assert len(law) == len(states(TOY, 2))
    expected = law[state_number(language.sequences, TOY)]
    rows = 40_000
    canvas = canvas_of(torch.zeros(rows, 2, dtype=torch.long), seed=4)
    constraint = TokenClasses(table, which.expand(rows, 2))
    ids = Sampler(steps=3).sample(from_table(laws, TOY), process, canvas, constraint).ids
    counts = torch.bincount(language.index(ids), minlength=16).to(torch.float64)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert scipy.stats.chisquare(counts[possible], expected[possible] * rows).pvalue > 1e-4


def one_group(low: int, high: int, cls: int = ANYTHING, table: Tensor | None = None) -> CountRange:
    zeros = torch.zeros(1, 3, dtype=torch.long)
    return CountRange(COUNTS, zeros + cls, zeros, torch.tensor([[low]]), torch.tensor([[high]]), table)


@pytest.mark.parametrize(
    ("constraint", "error", "message"),
    [
        (one_group(3, 3), DataError, "group 0 of row 0 cannot have 3 to 3 counting tokens: 0 to 2 are possible"),
        (one_group(2, 1), DataError, "cannot have 2 to 1"),
        (one_group(1, 2, FILLER, TABLE), DataError, "0 to 0 are possible"),
        (one_group(0, 1, 0, TABLE & COUNTS), DataError, "2 to 2 are possible"),
        (one_group(0, 1, 0, TABLE & False), DataError, "no token is allowed at position 1 of row 0"),
        (
            TokenClasses(TABLE & False, torch.zeros(1, 3, dtype=torch.long)),
            DataError,
            "no token is allowed at position 1",
        ),
        (TokenClasses(TABLE, torch.zeros(1, 4, dtype=torch.long)), UsageError, r"must have the shape \[1, 3\]"),
        (replace(one_group(0, 1), low=torch.zeros(2, 1, dtype=torch.long)), UsageError, r"low .* shape \[1, 1\]"),
        (replace(one_group(0, 1), group=torch.ones(1, 3, dtype=torch.long)), UsageError, "group .* from -1 to 0"),
    ],
)
def test_what_cannot_be_met_is_an_error_before_anything_is_drawn(
    constraint: Constraint, error: type[Exception], message: str
) -> None:
    def unused(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        raise AssertionError("the network was called")

    for whole in (constraint, AllOf((constraint,))):
        with pytest.raises(error, match=message):
            Sampler().sample(unused, process_of("absorbing"), canvas_from([[True, False, False]], [0]), whole)


def test_constraints_that_the_network_contradicts_are_an_error() -> None:
    def one_token(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        return torch.full((int(where.sum()), VOCABULARY.size), -torch.inf).index_fill(-1, torch.tensor([4]), 0.0)

    with pytest.raises(DataError, match="no token is possible at position 2"):
        constraint = TokenClasses(TABLE, torch.tensor([[ODD, EVEN, ODD]]))
        canvas = canvas_from([[True, False, False]], [0])
        Sampler(steps=1).sample(one_token, process_of("absorbing"), canvas, constraint)
