"""Three positions and four tokens: what the tests of joint laws share."""

from __future__ import annotations

import scipy.stats
import torch
from fakes import state_number
from oracles import VOCABULARY
from torch import Tensor
from wild_automata import sequences, weights_of

from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Automata
from textdiff.text.automaton import TokenAutomaton

LENGTH, ROWS, ERROR_RATE = 3, 15_000, 1e-4
ROWS_OF_IDS = sequences(VOCABULARY, LENGTH)


def process_of(name: str, **options: object) -> ForwardProcess:
    return build(ForwardProcess, {"name": name, **options}, vocabulary=VOCABULARY)


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


def tempered(log_w: Tensor, temperature: float, rows: Tensor) -> Tensor:
    return (weights_of(log_w, rows) / temperature).softmax(0)
