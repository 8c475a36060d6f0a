"""Whole runs under a constraint against their own enumerated Markov chains.

Three positions and four tokens; random automata. Chi-square tests have fixed seeds; each would fail a right sampler with
probability 1e-4 if the seed were drawn afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
from fakes import from_table, state_number, states
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
from wild_automata import accepted, automaton_of, marginals, words_of

from textdiff.processes import ForwardProcess
from textdiff.sampling import Sampler
from textdiff.sampling.accept import Accept, FirstHittingAccept, ThresholdAccept, TopKAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.step import Step
from textdiff.sampling.transitions import EulerTransition, Move, PosteriorTransition
from textdiff.sampling.warps import Warp
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas


@lru_cache(maxsize=64)
def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others in each state and at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.8 * torch.randn(VOCABULARY.size**LENGTH, LENGTH, VOCABULARY.size, generator=generator).double()
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


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
        ("absorbing", "euler"),
        ("uniform", "posterior"),
        ("hybrid", "posterior"),
    ],
)
def test_independent_tokens_are_conditioned_exactly_in_any_number_of_steps(process: str, kind: str) -> None:
    """Their own sequences that satisfy the constraint, renormalised: nothing is lost on the way."""
    samplers = {
        "ancestral": Sampler(steps=4),
        "posterior": Sampler(steps=4, transition=PosteriorTransition()),
        "euler": Sampler(steps=4, transition=EulerTransition()),
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


def test_the_first_step_of_uniform_noise_keeps_what_it_reads_off_the_network() -> None:
    """Two texts are allowed, and the network is sure of one: whoever is asked about a position at t = 1 gets its token."""
    process, rows = process_of("uniform"), 400
    ids = VOCABULARY.writable().nonzero().squeeze(-1).tolist()
    sure, other = [ids[0], ids[1], ids[0]], [ids[1], ids[0], ids[1]]
    canvas = canvas_of(torch.tensor([sure]).expand(rows, -1))
    written: list[Tensor] = []

    class Watched(PosteriorTransition):
        def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
            move = super().move(step, accept, warps)
            first = step.wanted & (step.t == 1)[step.row]
            written.append((move.ids == torch.tensor(sure)[step.column])[first])
            return move

    def network(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        logits = torch.zeros(*x_t.shape, VOCABULARY.size)
        return logits.scatter(-1, torch.tensor(sure).expand_as(x_t).unsqueeze(-1), 60.0)[where]

    constraint = one_group(words_of(VOCABULARY, [sure, other]), rows)
    found = Sampler(steps=4, transition=Watched()).sample(network, process, canvas, constraint)
    assert torch.equal(found.ids, torch.tensor(sure).expand(rows, -1))
    share = torch.cat(written)
    assert 0.2 * 3 * rows < len(share) < 0.3 * 3 * rows and share.all()
