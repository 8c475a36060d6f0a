"""Automata with no sense, what they accept, and laws under them by enumeration. Nothing here uses the constraint."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.sampling import Constraint, Step
from textdiff.sampling.distributions import with_logits
from textdiff.sampling.step import begin_step
from textdiff.text.automaton import TokenAutomaton
from textdiff.vocabulary import Vocabulary


def automaton_of(vocabulary: Vocabulary, seed: int, sizes: Sequence[int], states: int = 4) -> TokenAutomaton:
    """A random automaton that accepts some sequences of each of these numbers of tokens, but far from all."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        count = int(torch.randint(2, 5, (), generator=generator))
        classes = torch.randint(0, count, (vocabulary.size,), generator=generator)
        classes[~vocabulary.writable()] = count  # a class that may stand nowhere
        table = torch.randint(-1, states, (states, count + 1), generator=generator)
        table[:, count] = -1
        automaton = TokenAutomaton(classes, table, torch.rand(states, generator=generator) < 0.5)
        shares = [accepted(automaton, sequences(vocabulary, k)).double().mean() for k in sizes]
        if all(0.1 < share < 0.8 for share in shares):
            return automaton


def anything(vocabulary: Vocabulary) -> TokenAutomaton:
    """All writable ids."""
    classes = (~vocabulary.writable()).long()
    return TokenAutomaton(classes, torch.tensor([[0, -1]]), torch.tensor([True]))


def words_of(vocabulary: Vocabulary, texts: Iterable[Sequence[int]]) -> TokenAutomaton:
    """Just these sequences of ids: a tree of their beginnings, with each id a class."""
    texts = [tuple(text) for text in texts]
    nodes = sorted({text[:i] for text in texts for i in range(len(text) + 1)})
    table = torch.full((len(nodes), vocabulary.size), -1)
    for text in texts:
        for i, token in enumerate(text):
            table[nodes.index(text[:i]), token] = nodes.index(text[: i + 1])
    return TokenAutomaton(torch.arange(vocabulary.size), table, torch.tensor([node in texts for node in nodes]))


def fits(automaton: TokenAutomaton, ids: Iterable[int]) -> bool:
    """Whether the automaton accepts these ids."""
    table, classes, state = automaton.table.tolist(), automaton.classes.tolist(), 0
    for token in ids:
        state = table[state][classes[token]]
        if state < 0:
            return False
    return bool(automaton.final[state])


def sequences(vocabulary: Vocabulary, length: int) -> Tensor:
    """All rows of writable ids, Long [M, length], in lexicographic order."""
    ids = vocabulary.writable().nonzero().flatten().tolist()
    return torch.tensor(list(itertools.product(ids, repeat=length)))


def accepted(automaton: TokenAutomaton, rows: Tensor) -> Tensor:
    """Bool [M]."""
    return torch.tensor([fits(automaton, row) for row in rows.tolist()])


def weights_of(log_w: Tensor, rows: Tensor) -> Tensor:
    """The product of the positions' weights [L, V] for every row [M, L]: logarithms, float64 [M]."""
    return log_w.to(torch.float64)[torch.arange(rows.shape[1]), rows].sum(-1)


def marginals(log_joint: Tensor, rows: Tensor, vocabulary: Vocabulary) -> Tensor:
    """log p of each id at each position, float64 [L, V], from a law over rows, which need not be normalised."""
    log_joint = log_joint - log_joint.logsumexp(0)
    ids = torch.arange(vocabulary.size)
    here = rows.unsqueeze(-1) == ids
    return torch.where(here, log_joint[:, None, None], -torch.inf).logsumexp(0)


def step_of(
    process: ForwardProcess, x_t: Tensor, noisy: Tensor, logits: Tensor, constraint: Constraint | None, t: float = 0.7
) -> Step:
    """A step to s = 0 in which all noisy positions are asked for, with its distributions. logits: [N, V]."""
    free, rows = torch.ones_like(noisy), len(x_t)
    times = torch.full((rows,), t, dtype=torch.float64)
    draws, index = Draws.seeded(range(rows)), torch.zeros(rows, dtype=torch.long)
    sure = torch.zeros(x_t.shape, dtype=torch.float64)
    begun = begin_step(process, draws, index, 1, x_t, noisy, free, free, times, sure)
    step = replace(begun, s=torch.zeros_like(times))
    return with_logits(step.planned(noisy, noisy), [logits], constraint)


def noise_of(process: ForwardProcess, x_t: Tensor) -> Tensor:
    """Masks for absorbing noise; any other may leave what it found."""
    return torch.full_like(x_t, process.mask_id) if isinstance(process, AbsorbingProcess) else x_t
