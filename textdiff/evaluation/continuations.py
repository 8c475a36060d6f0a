"""What the continuation of a text costs: -log p(continuation | what stands before it), its number of tokens given.

- A left-to-right model says it exactly, by the chain rule.
- Of other models it is a bound, estimated: the process's own estimate restricted to the continuation, at noise levels that
  are spread evenly, with the same noise for all that is compared (common random numbers).
- An absorbing model that does not read the time says it exactly where a continuation is short. Written one token at a time, in
  an order that is drawn uniformly (which is what infinitely many steps do), it is the mean over all orders. The sets of tokens
  that can be left at some time are 2^n - 1, and each needs the network once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from textdiff.denoiser import Denoiser, Reader
from textdiff.infiller.ranking import levelled_nats
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas

_NOISE = 1 - 2.0**-40  # the level at which everything is noise


@dataclass(frozen=True)
class Continuation:
    """Ids that are given, and ids that follow them."""

    given: tuple[int, ...]
    new: tuple[int, ...]


def continuation_nats(
    denoiser: Denoiser | Reader,
    process: ForwardProcess,
    rows: Sequence[Continuation],
    draws: int,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """What each continuation costs, nats: a bound with so many corruptions, or of a left-to-right process the exact cost.

    Ids that cannot be written, such as those of unknown characters, cost nothing.

    Args:
        denoiser, process: the model's.
        rows: the continuations; none depends on the others.
        draws: corruptions of each.
        device: the denoiser's.
        on_rows: called with the number of rows that are done.
    """
    canvas = _canvas(process, rows, [[*range(len(row.given))] for row in rows])
    levels = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    return levelled_nats(denoiser, process, canvas, levels, device, on_rows).sum(-1).tolist()


def can_be_summed(process: ForwardProcess, row: Continuation, most: int) -> bool:
    """Whether all that a continuation may look like on the way, 2^n - 1 rows, is within so many.

    It is up to the caller that the process is an absorbing one, whose network does not read the time.
    """
    return (1 << len(_places(process, row))) - 1 <= most


def summed_nats(
    denoiser: Denoiser | Reader, process: ForwardProcess, row: Continuation, device: torch.device | str = "cpu"
) -> float:
    """The exact -log p of a short continuation, nats: the mean over all orders of its tokens; see `can_be_summed`.

    Source: Uria, Murray and Larochelle 2014, arXiv 1310.1757 (the mixture over orders), summed over the sets of what
    is written as in dynamic programmes over subsets.
    """
    places = _places(process, row)
    sets = [hidden for count in range(1, len(places) + 1) for hidden in itertools.combinations(places, count)]
    if not sets:
        return 0.0
    length = len(row.given) + len(row.new)
    canvas = _canvas(process, [row] * len(sets), [[i for i in range(length) if i not in hidden] for hidden in sets])
    nats = levelled_nats(denoiser, process, canvas, torch.full((1,), _NOISE, dtype=torch.float64), device)
    cost = {frozenset(hidden): nats[number] for number, hidden in enumerate(sets)}
    # log of the probability that the places of a set are still hidden, and all others were written as they are
    reached = {frozenset(places): 0.0}
    for hidden in sorted(cost, key=len, reverse=True):
        for place in hidden:
            here = reached[hidden] - math.log(len(hidden)) - float(cost[hidden][place])
            left = hidden - {place}
            reached[left] = _add(reached.get(left, -math.inf), here)
    return -reached[frozenset()]


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high = max(a, b)
    return high if math.isinf(high) else high + math.log(math.exp(a - high) + math.exp(b - high))


def _places(process: ForwardProcess, row: Continuation) -> list[int]:
    """The places of what is to be written."""
    writable = process.vocabulary.writable().tolist()
    return [len(row.given) + i for i, token in enumerate(row.new) if writable[token]]


def _canvas(process: ForwardProcess, rows: Sequence[Continuation], shown: Sequence[Sequence[int]]) -> Canvas:
    """Rows of which some places are shown, and all that can be written is to be written elsewhere. All have one seed."""
    writable = process.vocabulary.writable().tolist()
    ids = [[*row.given, *row.new] for row in rows]
    given = [set(places) for places in shown]
    frozen = [
        [i in places or not writable[t] for i, t in enumerate(row)] for row, places in zip(ids, given, strict=True)
    ]
    return Canvas.of_rows(ids, frozen, [0] * len(ids), process.vocabulary)
