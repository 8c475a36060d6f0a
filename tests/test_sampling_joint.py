"""The law of tokens that a constraint ties together, against enumeration: marginals, draws, the best, warps.

Three positions and four tokens; random automata. Chi-square tests have fixed seeds; each would fail a right sampler with
probability 1e-4 if the seed were drawn afresh.
"""

from __future__ import annotations

import pytest
import torch
from joint_laws import (
    ERROR_RATE,
    LENGTH,
    ROWS,
    ROWS_OF_IDS,
    counts_of,
    logits_of,
    one_group,
    p_value,
    process_of,
    tempered,
)
from oracles import VOCABULARY, canvas_of, transitions
from torch import Tensor
from wild_automata import accepted, anything, automaton_of, marginals, noise_of, step_of, weights_of, words_of

from textdiff.processes import ForwardProcess
from textdiff.registry import names
from textdiff.sampling import Automata, Sampler, Warp
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import TemperatureWarp, TopKWarp, TopPWarp
from textdiff.text.automaton import TokenAutomaton


def log_evidence(process: ForwardProcess, t: float, x_t: Tensor) -> Tensor:
    """log q(x_t | x_0) for every id x_0: [L, V]."""
    return transitions(process, 0.0, t)[:, x_t].T.log()


def grouped(groups: tuple[int, ...], seed: int) -> tuple[Automata, Tensor]:
    """One row with these groups, each with an automaton of its own, and all rows that they accept."""
    group = torch.tensor([groups])
    sizes = [int((group == g).sum()) for g in range(max(groups) + 1)]
    automata = tuple(automaton_of(VOCABULARY, seed + g, [size]) for g, size in enumerate(sizes))
    fit = torch.stack([accepted(made, ROWS_OF_IDS[:, group[0] == g]) for g, made in enumerate(automata)]).all(0)
    return Automata(automata, group, torch.arange(len(automata))[None]), ROWS_OF_IDS[fit]


@pytest.mark.parametrize("process", names(ForwardProcess))
@pytest.mark.parametrize(
    ("seed", "groups"),
    [(0, (0, 0, 0)), (1, (0, 0, 0)), (2, (0, 1, 0)), (3, (0, -1, 0)), (4, (1, 0, 0)), (5, (0, 0, 0))],
)
def test_marginals_are_those_of_the_enumerated_law(process: str, seed: int, groups: tuple[int, ...]) -> None:
    """Also with a token that stands already, groups inside each other, and logits down to -20,000."""
    noise, (constraint, fit) = process_of(process), grouped(groups, seed)
    x_t = fit[torch.randint(len(fit), (1,), generator=torch.Generator().manual_seed(seed))]
    noisy = torch.tensor([[True, seed != 1, True]])
    x_t = torch.where(noisy, noise_of(noise, x_t), x_t)
    logits = logits_of(seed, int(noisy.sum()))
    if seed == 5 and process != "matrix":  # matrices work on probabilities themselves
        logits[0] -= 5000 * torch.arange(VOCABULARY.size)
    step = step_of(noise, x_t, noisy, logits, constraint)
    log_loo = torch.zeros(LENGTH, VOCABULARY.size, dtype=torch.float64)
    log_loo[noisy[0]] = logits.log_softmax(-1)
    rows = fit[((fit == x_t) | noisy).all(-1)]
    evidence = torch.where(noisy.T, log_evidence(noise, 0.7, x_t[0]), 0.0)
    expected = marginals(weights_of(log_loo + evidence, rows), rows, VOCABULARY)[noisy[0]]
    torch.testing.assert_close(step.log_p.exp(), expected.exp(), atol=1e-9, rtol=1e-9)
    for n, i in enumerate(noisy[0].nonzero().flatten().tolist()):
        others = torch.where((torch.arange(LENGTH) == i).unsqueeze(-1), 0.0, evidence)
        alone = marginals(weights_of(log_loo + others, rows), rows, VOCABULARY)[i]
        torch.testing.assert_close(step.log_p_x0[n].exp(), alone.exp(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_messages_do_not_know_a_positions_own_weights(process: str) -> None:
    noise, automaton = process_of(process), automaton_of(VOCABULARY, 1, [LENGTH])
    x_t, noisy = noise_of(noise, ROWS_OF_IDS[:1]), torch.ones(1, LENGTH, dtype=torch.bool)
    before = logits_of(1, LENGTH)
    after = before.clone()
    after[1] = logits_of(2, 1)[0]
    messages = []
    for logits in (before, after):
        step = step_of(noise, x_t, noisy, logits, one_group(automaton))
        message = step.log_p_x0[1] - step.log_alone[1]
        messages.append((message - message[message.isfinite()].logsumexp(0))[message.isfinite()])
    torch.testing.assert_close(messages[0], messages[1], atol=1e-12, rtol=0)
    assert len(messages[0]) > 1


@pytest.mark.statistical
@pytest.mark.parametrize(("process", "seed"), [("absorbing", 0), ("absorbing", 1), ("uniform", 2), ("hybrid", 3)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_one_step_has_the_conditioned_law(process: str, seed: int, temperature: float) -> None:
    """From pure noise, whose evidence is none, in single precision."""
    automaton, logits = automaton_of(VOCABULARY, seed, [LENGTH]), logits_of(seed, LENGTH, 1.0)
    fit = accepted(automaton, ROWS_OF_IDS)
    expected = torch.zeros(len(fit), dtype=torch.float64)
    expected[fit] = tempered(logits, temperature, ROWS_OF_IDS[fit])
    warps = () if temperature == 1 else (TemperatureWarp(temperature),)
    transition = {} if seed % 2 else {"transition": PosteriorTransition()}
    ids = Sampler(steps=1, warps=warps, **transition).sample(  # type: ignore[arg-type]
        lambda x, t, c, where: logits.float().repeat(len(x), 1),
        process_of(process),
        canvas_of(torch.zeros(ROWS, LENGTH, dtype=torch.long)),
        one_group(automaton, ROWS),
    )
    assert p_value(counts_of(ids.ids), expected) > ERROR_RATE


def proposals(logits: Tensor, automaton: TokenAutomaton, warps: tuple[Warp, ...], rows: int = 1) -> Tensor:
    """Joint draws of masks with the same logits [L, V] in every row: Long [rows, L]."""
    noise = process_of("absorbing")
    x_t = noise_of(noise, torch.zeros(rows, LENGTH, dtype=torch.long))
    step = step_of(noise, x_t, torch.ones_like(x_t).bool(), logits.repeat(rows, 1), one_group(automaton, rows))
    return propose(step, warps).view(rows, LENGTH)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("warp", [TemperatureWarp(0.0), TopKWarp(1), TemperatureWarp(1e-4)])
def test_greedy_is_the_most_probable_sequence(seed: int, warp: Warp) -> None:
    """By enumeration; at a temperature of next to nothing too."""
    automaton, logits = automaton_of(VOCABULARY, seed, [LENGTH]), logits_of(seed, LENGTH)
    fit = ROWS_OF_IDS[accepted(automaton, ROWS_OF_IDS)]
    best = fit[weights_of(logits, fit).argmax()]
    assert torch.equal(proposals(logits, automaton, (warp,))[0], best)
    assert torch.equal(
        proposals(logits, automaton, (TemperatureWarp(2.0), TopPWarp(0.3), TemperatureWarp(0.0)))[0], best
    )


@pytest.mark.parametrize("seed", range(25))
def test_of_several_best_sequences_the_lowest_is_taken(seed: int) -> None:
    """Logits of 0 and 1 have many ties; all sums of them are exact."""
    automaton = automaton_of(VOCABULARY, seed, [LENGTH])
    logits = torch.where(VOCABULARY.writable(), (logits_of(seed, LENGTH) > 0).double(), -torch.inf)
    fit = ROWS_OF_IDS[accepted(automaton, ROWS_OF_IDS)]
    score = weights_of(logits, fit)
    assert len(score) > 1
    expected = fit[(score == score.max()).nonzero()[0, 0]]  # rows are in lexicographic order
    step_logits = logits - logits.logsumexp(-1, keepdim=True).round()
    assert torch.equal(proposals(step_logits, automaton, (TemperatureWarp(0.0),))[0], expected)


DESCENDING = torch.tensor([-torch.inf, -torch.inf, 3.0, 2.0, 1.0, 0.0], dtype=torch.float64).expand(LENGTH, -1)
OPEN = [(2, 2, 4), (2, 3, 2), (3, 2, 2), (3, 3, 3), (3, 4, 4)]
CLOSED = [(2, 4, 4), (4, 2, 4), (4, 4, 2), (3, 5, 4), (4, 3, 5), (5, 4, 3)]


@pytest.mark.statistical
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize(
    ("warp", "texts", "left"),
    [
        (TopKWarp(2), OPEN, OPEN[1:4]),  # of 2 and 3, 2 and 3, 2 and 3: the best that are possible at each place
        (TopKWarp(2), CLOSED, CLOSED),  # of the same; no text is of these alone
        (TopPWarp(1e-6), CLOSED, CLOSED),
        (TopPWarp(1e-6), [(2, 3, 2), (3, 2, 2), (3, 3, 5)], [(2, 3, 2), (3, 2, 2), (3, 3, 5)]),
        (TopPWarp(1e-6), [(4, 5, 5), (5, 4, 4), (4, 4, 4)], [(4, 4, 4)]),  # 2 and 3 are possible nowhere
    ],
)
def test_truncation_acts_on_what_is_possible_and_gives_way_as_a_whole(
    temperature: float, warp: Warp, texts: list[tuple[int, ...]], left: list[tuple[int, ...]]
) -> None:
    """Where truncation leaves no text, a group is drawn from all that the constraint allows, at the same temperature."""
    rows = torch.tensor(texts)
    expected = tempered(DESCENDING, temperature, rows) * torch.tensor([text in left for text in texts])
    warps = (warp, TemperatureWarp(temperature))
    ids = proposals(DESCENDING, words_of(VOCABULARY, texts), warps, ROWS)
    counts = (ids[:, None] == rows).all(-1).sum(0)
    assert counts.sum() == ROWS and counts[expected == 0].sum() == 0
    assert len(left) == 1 or p_value(counts, expected / expected.sum()) > ERROR_RATE


def test_the_extremes() -> None:
    """A constraint that needs tokens 5,000 nats away, and laws of 1e-3: no path is lost, none that is worse is taken."""
    allowed = [(2, 2, 5), (5, 2, 2), (5, 5, 5)]
    logits = torch.full((LENGTH, VOCABULARY.size), -torch.inf)
    logits[:, 2:] = torch.tensor([-5000.0, 0.0, -1.0, -5001.0])
    automaton = words_of(VOCABULARY, allowed)
    for temperature in (1.0, 1e-3, 0.0):
        warps = () if temperature == 1 else (TemperatureWarp(temperature),)
        rows = torch.tensor(allowed)
        expected = tempered(logits.double(), max(temperature, 1e-6), rows)
        ids = proposals(logits, automaton, warps, 4000)
        share = (ids[:, None] == rows).all(-1).double().mean(0)
        assert share.sum() == 1
        if temperature == 0:
            assert torch.equal(ids, rows[:1].expand(4000, -1))
        else:
            torch.testing.assert_close(share, expected, atol=0.04, rtol=0)  # 5 standard errors


def test_a_constraint_that_allows_everything_changes_no_distribution() -> None:
    for name in names(ForwardProcess):
        noise = process_of(name)
        x_t, noisy = noise_of(noise, ROWS_OF_IDS[:2]), torch.ones(2, LENGTH, dtype=torch.bool)
        logits = logits_of(3, 2 * LENGTH)
        free = step_of(noise, x_t, noisy, logits, None)
        bound = step_of(noise, x_t, noisy, logits, one_group(anything(VOCABULARY), 2))
        torch.testing.assert_close(bound.log_p_x0, free.log_p_x0)
        torch.testing.assert_close(bound.log_p, free.log_p)
