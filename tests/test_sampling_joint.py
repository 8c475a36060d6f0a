"""The law of tokens that a constraint ties together, against enumeration: marginals, one step, whole Markov chains.

Three positions and four tokens; random automata. Chi-square tests have fixed seeds; each would fail a right sampler with
probability 1e-4 if the seed were drawn afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
import scipy.stats
import torch
from fakes import from_table, state_number, states
from oracles import VOCABULARY, canvas_of, transitions
from torch import Tensor
from wild_automata import (
    accepted,
    anything,
    automaton_of,
    marginals,
    noise_of,
    sequences,
    step_of,
    weights_of,
    words_of,
)

from textdiff.processes import ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Automata, Sampler, Warp
from textdiff.sampling.accept import FirstHittingAccept, ThresholdAccept, TopKAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import TemperatureWarp, TopKWarp, TopPWarp
from textdiff.text.automaton import TokenAutomaton

LENGTH, ROWS, ERROR_RATE = 3, 15_000, 1e-4
ROWS_OF_IDS = sequences(VOCABULARY, LENGTH)


def process_of(name: str, **options: object) -> ForwardProcess:
    return build(ForwardProcess, {"name": name, **options}, vocabulary=VOCABULARY)


@lru_cache(maxsize=64)
def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others in each state and at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.8 * torch.randn(VOCABULARY.size**LENGTH, LENGTH, VOCABULARY.size, generator=generator).double()
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


def logits_of(seed: int, rows: int, sharpness: float = 2.0) -> Tensor:
    """Random logits of `rows` positions, float64 [N, V]."""
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(rows, VOCABULARY.size, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf)


def one_group(automaton: TokenAutomaton, rows: int = 1) -> Automata:
    zeros = torch.zeros(rows, LENGTH, dtype=torch.long)
    return Automata((automaton,), zeros, zeros[:, :1])


def p_value(counts: Tensor, expected: Tensor) -> float:
    """Of the chi-square test that the counts come from this law; cells of fewer than five are thrown together."""
    assert counts[expected == 0].sum() == 0
    expected = expected * counts.sum()
    small = expected < 5
    found, wanted = [
        torch.cat([values[~small], values[small].sum()[None]]) for values in (counts.to(torch.float64), expected)
    ]
    kept = wanted > 0
    return float(scipy.stats.chisquare(found[kept], wanted[kept]).pvalue)


def counts_of(ids: Tensor) -> Tensor:
    """How often each of the rows of `ROWS_OF_IDS` came."""
    number = torch.full((VOCABULARY.size**LENGTH,), -1)
    number[state_number(ROWS_OF_IDS, VOCABULARY)] = torch.arange(len(ROWS_OF_IDS))
    return torch.bincount(number[state_number(ids, VOCABULARY)], minlength=len(ROWS_OF_IDS))


def log_evidence(process: ForwardProcess, t: float, x_t: Tensor) -> Tensor:
    """log q(x_t | x_0) for every id x_0: [L, V]."""
    return transitions(process, 0.0, t)[:, x_t].T.log()


@pytest.mark.parametrize("process", names(ForwardProcess))
@pytest.mark.parametrize("seed", range(6))
def test_marginals_are_those_of_the_enumerated_law(process: str, seed: int) -> None:
    """Also with a token that stands already, and with logits down to -5000."""
    noise, automaton = process_of(process), automaton_of(VOCABULARY, seed, [LENGTH])
    generator = torch.Generator().manual_seed(seed)
    fit = ROWS_OF_IDS[accepted(automaton, ROWS_OF_IDS)]
    x_t = fit[torch.randint(len(fit), (1,), generator=generator)]
    noisy = torch.tensor([[True, seed % 2 == 0, True]])
    x_t = torch.where(noisy, noise_of(noise, x_t), x_t)
    logits = logits_of(seed, int(noisy.sum()), sharpness=2.0 if seed < 4 else 3.0)
    if seed == 5 and process != "matrix":  # matrices work on probabilities themselves
        logits[0] -= 5000 * torch.arange(VOCABULARY.size)
    step = step_of(noise, x_t, noisy, logits, one_group(automaton))
    log_loo = torch.zeros(LENGTH, VOCABULARY.size, dtype=torch.float64)
    log_loo[noisy[0]] = logits.log_softmax(-1)
    rows = fit[((fit == x_t) | ~~noisy).all(-1)]
    evidence = torch.where(noisy.T, log_evidence(noise, 0.7, x_t[0]), 0.0)
    law = weights_of(log_loo + evidence, rows)
    found, expected = step.log_p, marginals(law, rows, VOCABULARY)[noisy[0]]
    torch.testing.assert_close(found.exp(), expected.exp(), atol=1e-9, rtol=1e-9)
    for n, i in enumerate(noisy[0].nonzero().flatten().tolist()):
        without = log_loo + evidence * (torch.arange(LENGTH) != i).unsqueeze(-1)
        alone = marginals(weights_of(without.nan_to_num(neginf=-1e9), rows), rows, VOCABULARY)[i]
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


def tempered(log_w: Tensor, temperature: float, rows: Tensor) -> Tensor:
    return (weights_of(log_w, rows) / temperature).softmax(0)


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


def conditioned(process: ForwardProcess, automaton: TokenAutomaton, laws: Tensor, t: float) -> Tensor:
    """p(x_0 | x_t) under the constraint, [S, M]; rows of states that cannot be are 0."""
    ids = states(VOCABULARY, LENGTH)
    weights = accepted(automaton, ROWS_OF_IDS).to(torch.float64).expand(len(ids), -1)
    evidence = transitions(process, 0.0, t)
    for i in range(LENGTH):
        x_0 = ROWS_OF_IDS[:, i]
        weights = weights * laws[:, i][:, x_0] * evidence[x_0][:, ids[:, i]].T
    return (weights / weights.sum(-1, keepdim=True)).nan_to_num()


def mixture(law: Tensor, moves: Tensor) -> Tensor:
    """Σ over x_0 of p(x_0 | x_t) times the product of the positions' moves [V of x_t, V of x_0, V of x_s]: [S, S]."""
    ids = states(VOCABULARY, LENGTH)
    kernel = torch.zeros(len(ids), len(ids), dtype=torch.float64)
    for number, x_0 in enumerate(ROWS_OF_IDS):
        product = law[:, number, None].expand(-1, len(ids))
        for i in range(LENGTH):
            product = product * moves[ids[:, i], x_0[i]][:, ids[:, i]]
        kernel += product
    return kernel


def posterior_moves(process: ForwardProcess, s: float, t: float) -> Tensor:
    """q(x_s | x_t, x_0) by Bayes: [x_t, x_0, x_s]; 0 where x_t cannot be."""
    to_s, onward = transitions(process, 0.0, s), transitions(process, s, t)
    joint = to_s.unsqueeze(0) * onward.T.unsqueeze(1)
    return (joint / joint.sum(-1, keepdim=True)).nan_to_num()


def remdm_moves(alpha_s: float, alpha_t: float, sigma: float) -> Tensor:
    """ReMDM, arXiv 2503.00307, Eq. 4."""
    size, mask = VOCABULARY.size, VOCABULARY.mask_id
    moves = torch.zeros(size, size, size, dtype=torch.float64)
    settles = (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)
    for x_0 in range(size):
        moves[mask, x_0, x_0], moves[mask, x_0, mask] = settles, 1 - settles
        for x_t in set(range(size)) - {mask}:
            moves[x_t, x_0, x_t], moves[x_t, x_0, mask] = 1 - sigma, sigma
    return moves


Choice = Callable[[Tensor, Tensor], list[int]]
"""(marginals [n, V] of the masked positions, proposals [n]) -> which settle."""


def chosen(law: Tensor, choose: Choice) -> Tensor:
    """A kernel that settles some of a joint proposal for masks, chosen by the marginals under the constraint."""
    ids, mask = states(VOCABULARY, LENGTH), VOCABULARY.mask_id
    kernel = torch.zeros(len(ids), len(ids), dtype=torch.float64)
    for number, state in enumerate(ids):
        masked = (state == mask).nonzero().flatten()
        if len(masked) == 0 or law[number].sum() == 0:
            kernel[number, number] = 1
            continue
        marginal = marginals(law[number].log(), ROWS_OF_IDS, VOCABULARY)[masked].exp()
        for m in law[number].nonzero().flatten().tolist():
            after, proposal = state.clone(), ROWS_OF_IDS[m, masked]
            settle = choose(marginal, proposal)
            after[masked[settle]] = proposal[settle]
            kernel[number, state_number(after[None], VOCABULARY)] += law[number, m]
    return kernel


def surest(staying: int) -> Choice:
    def choose(marginal: Tensor, proposal: Tensor) -> list[int]:
        best = marginal.gather(1, proposal[:, None])[:, 0].argsort(descending=True, stable=True).tolist()
        return best[: max(len(best) - staying, 0)]

    return choose


def sure(probability: float, last: bool) -> Choice:
    def choose(marginal: Tensor, proposal: Tensor) -> list[int]:
        p = marginal.gather(1, proposal[:, None])[:, 0]
        return (
            list(range(len(p)))
            if last
            else sorted({int(p.argmax())} | set((p >= probability).nonzero().flatten().tolist()))
        )

    return choose


Kernel = Callable[[ForwardProcess, Tensor, float, float], Tensor]
"""(process, p(x_0 | x_t) under the constraint, s, t) -> the kernel [S, S]."""

CHAINS: dict[str, tuple[Sampler, str, Kernel]] = {
    "ancestral": (Sampler(steps=3), "absorbing", lambda _, law, s, t: mixture(law, remdm_moves(1 - s, 1 - t, 0))),
    **{
        f"posterior of {process}": (
            Sampler(steps=3, transition=PosteriorTransition()),
            process,
            lambda process, law, s, t: mixture(law, posterior_moves(process, s, t)),
        )
        for process in ("absorbing", "uniform", "hybrid")
    },
    "remdm": (
        Sampler(steps=4, renoise=RemdmCapRenoise(cap=0.4)),
        "absorbing",
        lambda _, law, s, t: mixture(law, remdm_moves(1 - s, 1 - t, min(0.4, s / (1 - t)) if t < 1 else 0.4)),
    ),
    "confidence": (
        Sampler(steps=3, accept=TopKAccept()),
        "absorbing",
        lambda _, law, s, t: chosen(law, surest(round(3 * s))),
    ),
    "threshold": (
        Sampler(steps=2, accept=ThresholdAccept(0.4)),
        "absorbing",
        lambda _, law, s, t: chosen(law, sure(0.4, s == 0)),
    ),
}


@pytest.mark.statistical
@pytest.mark.parametrize(("seed", "name"), enumerate(CHAINS))
def test_whole_runs_have_the_law_of_their_own_chain(name: str, seed: int) -> None:
    """A denoiser that says something else in each state and at each time."""
    sampler, process_name, kernel = CHAINS[name]
    process, automaton = process_of(process_name), automaton_of(VOCABULARY, seed, [LENGTH])
    ids = states(VOCABULARY, LENGTH)
    first = int(process.vocabulary.writable().nonzero()[0])
    law = transitions(process, 0.0, 1.0)[first][ids].prod(-1)
    for k in range(sampler.steps):
        s, t = (sampler.steps - k - 1) / sampler.steps, (sampler.steps - k) / sampler.steps
        law = law @ kernel(process, conditioned(process, automaton, wild(t), t), s, t)
    assert abs(float(law.sum()) - 1) < 1e-9
    canvas = canvas_of(torch.zeros(ROWS, LENGTH, dtype=torch.long), seed=100 * seed)
    found = sampler.sample(from_table(wild, VOCABULARY), process, canvas, one_group(automaton, ROWS)).ids
    assert p_value(counts_of(found), law[state_number(ROWS_OF_IDS, VOCABULARY)]) > ERROR_RATE


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("process", "kind"),
    [
        ("absorbing", "ancestral"),
        ("absorbing", "first_hitting"),
        ("absorbing", "posterior"),
        ("uniform", "posterior"),
        ("hybrid", "posterior"),
    ],
)
def test_independent_tokens_are_conditioned_exactly_in_any_number_of_steps(process: str, kind: str) -> None:
    """Their own sequences that satisfy the constraint, renormalised: nothing is lost on the way."""
    samplers = {
        "ancestral": Sampler(steps=4),
        "posterior": Sampler(steps=4, transition=PosteriorTransition()),
        "first_hitting": Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()),
    }
    automaton, logits = automaton_of(VOCABULARY, 4, [LENGTH]), logits_of(4, LENGTH, 1.0)
    fit = accepted(automaton, ROWS_OF_IDS)
    expected = torch.zeros(len(fit), dtype=torch.float64)
    expected[fit] = tempered(logits, 1.0, ROWS_OF_IDS[fit])
    ids = samplers[kind].sample(
        lambda x, t, c, where: logits[where.nonzero()[:, 1]],
        process_of(process),
        canvas_of(torch.zeros(ROWS, LENGTH, dtype=torch.long), seed=7),
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
