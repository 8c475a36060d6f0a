"""Constraints that nothing can satisfy: errors, before the network is called where that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from sampling_laws import VOCABULARY, canvas_from
from wild_automata import anything, words_of

from textdiff.errors import DataError, UsageError
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Automata, Constraint, Sampler, TokenClasses
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas

LENGTH = 9
WRITABLE = VOCABULARY.writable()
ODD = WRITABLE & (torch.arange(VOCABULARY.size) % 2 == 1)
TABLE = torch.stack([WRITABLE, ODD, WRITABLE & ~ODD])


def process_of(name: str) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=VOCABULARY)


def in_groups(group: Sequence[int], *automata: TokenAutomaton) -> Automata:
    """One row; group g has the automaton g."""
    return Automata(automata, torch.tensor([group]), torch.arange(len(automata))[None])


PAIR = words_of(VOCABULARY, [(4, 5)])
GIVEN = canvas_from([[True, False, False]], [0])  # 3 is given at position 0


@pytest.mark.parametrize(
    ("constraint", "error", "message"),
    [
        (in_groups([-1, 0, -1], PAIR), DataError, "group 0 of row 0 cannot be written: nothing of 1 tokens"),
        (in_groups([0, 0, 0], PAIR), DataError, "group 0 of row 0 .* nothing of 3 tokens"),
        (in_groups([1, 0, 1], anything(VOCABULARY), PAIR), DataError, "group 1 of row 0 .* nothing of 2 tokens"),
        (in_groups([-1, -1, 1], PAIR, words_of(VOCABULARY, [()])), DataError, "group 1 of row 0"),
        (in_groups([-1, 0, 0, 0], PAIR), UsageError, r"group .* must have the shape \[1, 3\]"),
        (in_groups([-1, 1, 1], PAIR), UsageError, "group .* from -1 to 0"),
        (replace(in_groups([-1, 0, 0], PAIR), which=torch.tensor([[3]])), UsageError, "which .* from 0 to 0"),
        (TokenClasses(TABLE & False, torch.zeros(1, 3, dtype=torch.long)), DataError, "no token is allowed at position 1"),
        (TokenClasses(TABLE, torch.zeros(1, 4, dtype=torch.long)), UsageError, r"must have the shape \[1, 3\]"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_is_an_error_before_anything_is_drawn(
    constraint: Constraint, error: type[Exception], message: str
) -> None:
    def unused(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        raise AssertionError("the network was called")

    with pytest.raises(error, match=message):
        Sampler().sample(unused, process_of("absorbing"), GIVEN, constraint)


def test_all_groups_that_cannot_be_met_are_listed() -> None:
    group = torch.tensor([[0, 0, 1], [0, 1, 1], [2, 2, 0]])
    constraint = Automata((PAIR, anything(VOCABULARY)), group, torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    canvas = canvas_from([[False] * 3, [False, True, False], [True, False, False]], [0, 1, 2])
    assert constraint.impossible(canvas) == [(1, 1), (2, 0), (2, 2)]
    padded = Canvas(canvas.ids, canvas.frozen, canvas.valid & (torch.arange(3) < 2), canvas.seeds)
    with pytest.raises(UsageError, match="-1 at padding"):
        constraint.check(padded)


@pytest.mark.parametrize(
    ("constraint", "column"),
    [
        (TokenClasses(TABLE, torch.tensor([[1, 2, 1]])), 2),
        (in_groups([-1, 0, 0], words_of(VOCABULARY, [(4, 5), (4, 6)])), 2),
        (in_groups([-1, 0, 0], words_of(VOCABULARY, [(5, 4)])), 1),
        (in_groups([0, 0, 1], words_of(VOCABULARY, [(3, 4)]), words_of(VOCABULARY, [(8,)])), 2),
    ],
)
def test_constraints_that_the_network_contradicts_are_an_error(constraint: Constraint, column: int) -> None:
    """It knows but one token."""

    def one_token(x_t, t, canvas, where):  # type: ignore[no-untyped-def]
        return torch.full((int(where.sum()), VOCABULARY.size), -torch.inf).index_fill(-1, torch.tensor([4]), 0.0)

    with pytest.raises(DataError, match=f"no token is possible at position {column}"):
        Sampler(steps=1).sample(one_token, process_of("absorbing"), GIVEN, constraint)


def test_groups_that_ask_for_nothing_are_no_constraint() -> None:
    """No group at all: every distribution and every choice of position as without a constraint."""
    canvas = canvas_from([[False] * LENGTH] * 3, [1, 2, 3])
    constraint = Automata((), torch.full(canvas.shape, -1), torch.zeros(3, 0, dtype=torch.long))
    samples = Sampler(steps=4, warps=(TemperatureWarp(0.0),)).sample(
        wild_denoiser(VOCABULARY), process_of("absorbing"), canvas, constraint
    )
    free = Sampler(steps=4, warps=(TemperatureWarp(0.0),)).sample(
        wild_denoiser(VOCABULARY), process_of("absorbing"), canvas
    )
    assert torch.equal(samples.ids, free.ids) and torch.equal(samples.nfe, free.nfe)
