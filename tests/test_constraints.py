"""Constraints hold always, on networks with no sense, however many tokens settle at once, with any policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import pytest
import torch
from fakes import Counted, wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from, renoises
from torch import Tensor
from wild_automata import accepted, automaton_of, fits, sequences

from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Accept, Automata, Sampler, Samples, Step, TimeGrid, Warp, preset
from textdiff.sampling.accept import FirstHittingAccept, RandomAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.stops import EntropyStop
from textdiff.sampling.transitions.rates import RateTransition
from textdiff.sampling.warps import TemperatureWarp, TopKWarp, TopPWarp
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas

LENGTH, LARGEST = 9, 3
WRITABLE = VOCABULARY.writable()
ODD = WRITABLE & (torch.arange(VOCABULARY.size) % 2 == 1)
TABLE = torch.stack([WRITABLE, ODD, WRITABLE & ~ODD])
WARPS: list[tuple[Warp, ...]] = [
    (),
    (TemperatureWarp(0.5),),
    (TemperatureWarp(0.0),),
    (TopKWarp(1),),
    (TopPWarp(0.01),),
    (TemperatureWarp(0.7), TopKWarp(2), TopPWarp(0.9)),
]
# Text from left to right has one order of its own, and no reverse kernel of single tokens.
PROCESSES = [{"name": name} for name in names(ForwardProcess) if name != "autoregressive"] + [
    {"name": "matrix", "kind": "absorbing"},
    {"name": "matrix", "kind": "banded"},
]


def process_of(config: dict[str, str] | str) -> ForwardProcess:
    return build(ForwardProcess, config, vocabulary=VOCABULARY)


def mixed_samplers(accept: str) -> list[Sampler]:
    """One accept policy with every renoise policy on every grid."""
    grids = [name for name in names(TimeGrid) if name not in ("adaptive", "first_hitting")]
    return [
        build(Sampler, {"accept": accept, "renoise": r, "grid": grid})
        for r in renoises()
        for grid in (["loop"] if r.needs_loop else grids)
    ]


def other_samplers() -> list[Sampler]:
    first_hitting = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept())
    stop = EntropyStop(0.5)
    stopping = [replace(sampler, stop=stop) for sampler in (preset("posterior"), Sampler(renoise=RemdmCapRenoise(0.6)))]
    names = ("posterior", "euler", "tau_leaping", "diffusion_gemma", "psi", "gibbs", "mask_predict", "p2", "rdm")
    alone = [preset(name) for name in names]
    return [first_hitting, *alone, *stopping]


@lru_cache(maxsize=64)
def automaton(seed: int) -> TokenAutomaton:
    """One for groups of any size, so that groups of several sizes share it."""
    return automaton_of(VOCABULARY, seed, range(1, LARGEST + 1), states=5)


@lru_cache(maxsize=64)
def texts(seed: int, size: int) -> Tensor:
    """All rows of so many tokens that it accepts."""
    rows = sequences(VOCABULARY, size)
    return rows[accepted(automaton(seed), rows)]


@dataclass(frozen=True)
class Case:
    canvas: Canvas
    constraint: Automata


def case_of(frozen: Sequence[Sequence[bool]], groups: Sequence[Sequence[int]], seed: int) -> Case:
    """Rows of nine positions in up to three groups of at most three; what is given in a group can be completed.

    A group's positions need not stand side by side. Rows end where their flags end.
    """
    canvas = canvas_from(frozen, range(seed, seed + len(frozen)))
    group, which = torch.full(canvas.shape, -1), torch.zeros(len(frozen), 3, dtype=torch.long)
    ids, made = canvas.ids.clone(), dict[int, int]()
    for row in range(len(frozen)):
        for g in range(3):
            inside = [i for i in range(len(frozen[row])) if groups[row][i] == g][:LARGEST]
            if not inside:
                continue
            key = (seed + row * g) % 4
            which[row, g] = made.setdefault(key, len(made))
            group[row, inside] = g
            fit = texts(key, len(inside))
            ids[row, inside] = fit[(seed + 5 * row + g) % len(fit)]
    automata = tuple(automaton(key) for key in made)
    return Case(canvas.with_ids(torch.where(canvas.frozen, ids, canvas.ids)), Automata(automata, group, which))


def random_case(seed: int, rows: int = 3) -> Case:
    generator = torch.Generator().manual_seed(seed)
    frozen = torch.rand(rows, LENGTH, generator=generator) < 0.25
    return case_of(frozen.tolist(), torch.randint(-1, 3, (rows, LENGTH), generator=generator).tolist(), seed)


def check_accepted(case: Case, ids: Tensor) -> None:
    """Every group holds what its automaton accepts, every given token stands, nothing else than text is written."""
    canvas, constraint = case.canvas, case.constraint
    assert torch.equal(ids[~canvas.free], canvas.ids[~canvas.free])
    assert WRITABLE[ids[canvas.free]].all()
    for row in range(len(ids)):
        for g in constraint.group[row][constraint.group[row] >= 0].unique().tolist():
            made = constraint.automata[constraint.which[row, g]]
            assert fits(made, ids[row, constraint.group[row] == g].tolist())


def check_whole_groups(case: Case, counted: Counted) -> None:
    """Whoever asks for a noisy position asks for all that are noisy in its group. Masks show which are."""
    for x_t, where in counted.seen:
        if len(x_t) != len(case.canvas.ids):
            continue  # only some of the rows
        noisy = case.canvas.free & (x_t == VOCABULARY.mask_id)
        for row, g in [(row, g) for row in range(len(x_t)) for g in range(3)]:
            inside = noisy[row] & (case.constraint.group[row] == g)
            assert not (where[row] & inside).any() or where[row, inside].all()


def check_case(sampler: Sampler, process: ForwardProcess, case: Case, seed: int = 0) -> Samples:
    """All that holds of a run under automata, whatever the policies."""
    canvas, constraint = case.canvas, case.constraint
    counted = Counted(wild_denoiser(VOCABULARY, seed))
    samples = sampler.sample(counted, process, canvas, constraint)
    check_accepted(case, samples.ids)
    if isinstance(sampler.grid, FirstHittingGrid):
        assert torch.equal(samples.nfe, canvas.free.sum(-1))
    else:
        assert (samples.nfe <= sampler.steps).all()
    assert counted.rows == int(samples.nfe.sum())
    if isinstance(process, AbsorbingProcess):
        check_whole_groups(case, counted)
    return samples


def check_peers_do_not_matter(
    sampler: Sampler, process: ForwardProcess, case: Case, samples: Samples, seed: int
) -> None:
    """In reversed order, alone, and with what it needs of the padding cut off, a row gives bit for bit the same."""
    network, backwards = wild_denoiser(VOCABULARY, seed), torch.arange(len(case.canvas.ids)).flip(0)
    again = sampler.sample(network, process, case.canvas.rows(backwards), case.constraint.rows(backwards))
    assert torch.equal(again.ids, samples.ids[backwards]) and torch.equal(again.log_p, samples.log_p[backwards])
    for row in range(len(case.canvas.ids)):
        one = torch.arange(len(case.canvas.ids)) == row
        length = int(case.canvas.valid[row].sum())
        part = case.canvas.rows(one)
        part = Canvas(part.ids[:, :length], part.frozen[:, :length], part.valid[:, :length], part.seeds)
        alone = sampler.sample(network, process, part, case.constraint.rows(one).cut(length))
        assert torch.equal(alone.ids[0], samples.ids[row, :length])
        assert torch.equal(alone.log_p[0], samples.log_p[row, :length])


@pytest.mark.parametrize("accept", names(Accept))
def test_every_combination_of_policies_satisfies_the_automata(accept: str) -> None:
    """Accept x renoise x grid x process, each with other rows, automata, warps and numbers of steps."""
    cases = [(sampler, process) for sampler in mixed_samplers(accept) for process in PROCESSES]
    for number, (sampler, process) in enumerate(cases):
        sampler = replace(sampler, steps=1 + number % 7, warps=WARPS[number % len(WARPS)])
        check_case(sampler, process_of(process), random_case(number), seed=number)


def goes_with(sampler: Sampler, process: dict[str, str]) -> bool:
    """First hitting counts masks, and noise in whole steps has no rates."""
    if isinstance(sampler.grid, FirstHittingGrid):
        return process["name"] == "absorbing"
    return not (isinstance(sampler.transition, RateTransition) and process["name"] == "matrix")


@pytest.mark.parametrize("process", PROCESSES, ids=lambda config: "-".join(config.values()))
def test_the_other_transitions_and_grids_satisfy_the_automata(process: dict[str, str]) -> None:
    for number in range(12):
        for sampler in other_samplers():
            if not goes_with(sampler, process):
                continue
            sampler = replace(sampler, steps=1 + number % 7, warps=WARPS[number % len(WARPS)])
            check_case(sampler, process_of(process), random_case(100 + number), seed=number)


flags = st.lists(st.lists(st.booleans(), min_size=1, max_size=LENGTH), min_size=1, max_size=4)


@settings(max_examples=25)
@given(
    frozen=flags,
    groups=st.lists(st.integers(-1, 2), min_size=4 * LENGTH, max_size=4 * LENGTH),
    sampler=st.sampled_from([s for name in names(Accept) for s in mixed_samplers(name)] + other_samplers()),
    warps=st.sampled_from(WARPS),
    steps=st.integers(1, 9),
    process=st.sampled_from(PROCESSES),
    seed=st.integers(0, 99),
)
def test_rows_of_any_shape_in_any_company(
    frozen: list[list[bool]],
    groups: list[int],
    sampler: Sampler,
    warps: tuple[Warp, ...],
    steps: int,
    process: dict[str, str],
    seed: int,
) -> None:
    if not goes_with(sampler, process):
        process = {"name": "absorbing"}
    case = case_of(frozen, [groups[LENGTH * i : LENGTH * (i + 1)] for i in range(4)], seed)
    sampler = replace(sampler, steps=steps, warps=warps)
    samples = check_case(sampler, process_of(process), case, seed)
    check_peers_do_not_matter(sampler, process_of(process), case, samples, seed)


def test_a_policy_sees_only_what_it_asked_for() -> None:
    """One position settles in each step, although its whole group is drawn; settled tokens stay for ever after."""
    shown = list[int]()

    class LeftmostAccept(Accept):
        def plan(self, step: Step) -> Tensor:
            return step.noisy & (step.noisy.cumsum(-1) == 1)

        def choose(self, step: Step) -> Tensor:
            assert len(step.proposal) == len(step.log_p) == len(step.row)
            shown.append(len(step.row))
            return super().choose(step)

    case = case_of([[False] * 6], [[0, 1, 0, 1, 1, 0]], seed=1)
    left = list[list[int]]()
    Sampler(steps=50, accept=LeftmostAccept()).sample(
        wild_denoiser(VOCABULARY),
        process_of("absorbing"),
        case.canvas,
        case.constraint,
        on_step=lambda event: left.append(event.noisy[0].nonzero().flatten().tolist()),
    )
    assert left == [list(range(i, 6)) for i in range(1, 7)]
    assert shown == [1] * 6


def test_nothing_is_asked_for_in_groups_where_nothing_settles() -> None:
    """With many steps most settle one token: its group is asked for and no other, and idle steps cost no call."""
    case = case_of([[False] * 9], [[0, 1, 2, 0, 1, 2, -1, -1, -1]], seed=2)
    counted = Counted(wild_denoiser(VOCABULARY))
    samples = Sampler(steps=60).sample(counted, process_of("absorbing"), case.canvas, case.constraint)
    assert int(samples.nfe) == len(counted.seen) <= 9
    after = [x_t for x_t, _ in counted.seen[1:]] + [samples.ids]
    for (x_t, where), x_s in zip(counted.seen, after, strict=True):
        noisy, settled, group = x_t[0] == VOCABULARY.mask_id, (x_t != x_s)[0], case.constraint.group[0]
        together = noisy & (group >= 0) & torch.isin(group, group[settled])
        assert settled.any() and torch.equal(where[0], settled | together)


def test_what_goes_back_to_noise_can_always_be_written_again() -> None:
    """At each look the tokens that stand can be completed, although ReMDM takes many back."""
    case, revised, looks = random_case(5, rows=4), 0, list[tuple[Tensor, Tensor]]()
    sampler = Sampler(steps=12, accept=RandomAccept(), renoise=RemdmCapRenoise(cap=0.6))
    sampler.sample(
        wild_denoiser(VOCABULARY),
        process_of("absorbing"),
        case.canvas,
        case.constraint,
        on_step=lambda event: looks.append((event.ids.clone(), event.noisy.clone())),
    )
    for ids, noisy in looks:
        for row in range(len(ids)):
            for g in range(3):
                inside = case.constraint.group[row] == g
                if inside.any():
                    made = case.constraint.automata[case.constraint.which[row, g]]
                    every = sequences(VOCABULARY, int(inside.sum()))
                    agrees = (every == ids[row, inside]) | noisy[row, inside]
                    assert accepted(made, every[agrees.all(-1)]).any()
    for (_, before), (_, after) in pairwise(looks):
        revised += int((after & ~before).sum())
    assert revised > 0
