"""Small denoisers for tests of the sampler."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

_PRIME = 997


def wild_denoiser(vocabulary: Vocabulary, seed: int = 0, sharpness: float = 2.0) -> Denoiser:
    """A network with no sense: logits are a fixed random function of all valid tokens, the position and the time.

    The function goes through integers only, so that a row's logits are bit for bit the same in any batch.
    """
    generator = torch.Generator().manual_seed(seed)
    table = sharpness * torch.randn(_PRIME, vocabulary.size, generator=generator)
    table[:, ~vocabulary.writable()] = -torch.inf

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        place = torch.arange(x_t.shape[1])
        code = (x_t + 1) * (3 * place + 7) + 31 * canvas.frozen
        whole = (code * canvas.valid).sum(-1, keepdim=True) + (t * 10).long().unsqueeze(-1)
        return table[(whole * 17 + place * 101)[where] % _PRIME]

    return denoise


@dataclass
class Counted:
    """Passes calls on, and notes what was asked for."""

    denoiser: Denoiser
    rows: int = 0
    positions: int = 0
    seen: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        assert where.any(-1).all(), "a row with nothing to ask was sent to the network"
        assert not (where & ~canvas.free).any(), "logits of a position were asked for that is not free"
        self.rows += len(x_t)
        self.positions += int(where.sum())
        self.seen.append((x_t, where))
        return self.denoiser(x_t, t, canvas, where)


def states(vocabulary: Vocabulary, length: int) -> Tensor:
    """All V^L rows of ids, Long [S, L]; the row's number is its ids read as digits."""
    return torch.tensor(list(itertools.product(range(vocabulary.size), repeat=length)))


def state_number(ids: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Long [B]: where a row stands in `states`."""
    number = torch.zeros(len(ids), dtype=torch.long)
    for column in ids.T:
        number = number * vocabulary.size + column
    return number


def tabulate(denoiser: Denoiser, vocabulary: Vocabulary, length: int, t: float, frozen: Tensor | None = None) -> Tensor:
    """p(x_0 at i | state) of every state at time t: float64 [S, L, V]; rows of impossible states are NaN."""
    ids = states(vocabulary, length)
    given = torch.zeros_like(ids, dtype=torch.bool) if frozen is None else frozen.expand(ids.shape)
    everywhere = torch.ones_like(given)
    canvas = Canvas(ids, given, everywhere, torch.zeros(len(ids), dtype=torch.long))
    time = torch.full((len(ids),), t, dtype=torch.float64)
    return denoiser(ids, time, canvas, everywhere).to(torch.float64).softmax(-1).view(len(ids), length, vocabulary.size)


def from_table(table: Tensor | Callable[[float], Tensor], vocabulary: Vocabulary) -> Denoiser:
    """A fast denoiser from a `tabulate`d one, or from one for each time that comes up."""

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        if isinstance(table, Tensor):
            return table[state_number(x_t, vocabulary)][where].log()
        logits = torch.empty(*x_t.shape, vocabulary.size, dtype=torch.float64)
        for time in t.unique().tolist():
            chosen = t == time
            logits[chosen] = table(time)[state_number(x_t[chosen], vocabulary)].log()
        return logits[where]

    return denoise
