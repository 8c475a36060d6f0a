"""What a text costs an absorbing model that writes it in an order, or in the mean over orders."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.sampling import Sampler
from textdiff.text.canvas import Canvas

_ROWS = 32


@torch.no_grad()
def order_nats(
    denoiser: Denoiser, process: ForwardProcess, canvas: Canvas, orders: int, seed: int = 0, steps: int | None = None
) -> Tensor:
    """-log p(row | order) for so many random orders of each row's free tokens: nats, float64 [B, orders].

    With `steps` several tokens are written at once: an order says in which of the steps each token settles, as in ancestral
    sampling with the uniform grid. Tokens of a step do not see each other.

    Args:
        denoiser: of the process.
        process: absorbing noise.
        canvas: clean ids.
        orders: drawn for each row, from its own seed.
        seed: of the orders, together with the row's own.
        steps: of the sampler whose likelihood is meant; by default one token at a time, which is infinitely many.

    Raises:
        ConfigError: other noise, whose tokens do not settle once and for all.
    """
    mask = _mask_id(process)
    draws = Draws.seeded(canvas.seeds).fold(seed)
    nats = torch.zeros(len(canvas.ids), orders, dtype=torch.float64)
    for order in range(orders):
        number = _numbered(process, draws.fold(order).uniform(canvas.shape[1]), canvas.free, steps)
        for row, now in _in_parts(number):
            part = canvas.rows(row)
            place = number[row]
            where = place == now.unsqueeze(-1)
            x_t = part.ids.masked_fill(place >= now.unsqueeze(-1), mask)
            left = (place >= now.unsqueeze(-1)).sum(-1).double() / part.free.sum(-1)
            t = process.schedule.inverse(1 - left) if steps is None else 1 - now / steps
            log_p = denoiser(x_t, t.float(), part, where).float().log_softmax(-1)
            surprise = -log_p.gather(-1, part.ids[where].unsqueeze(-1)).squeeze(-1).double()
            nats[:, order].index_add_(0, row.cpu(), _summed(surprise, where).cpu())
    return nats


def importance_weighted(nats: Tensor) -> Tensor:
    """-log of the mean of exp(-nats) over the last dimension: of random orders a bound that falls to -log p(row) with their
    number. nats float64 [..., K]. Source: arXiv 1509.00519, equation 8."""
    return math.log(nats.shape[-1]) - (-nats).logsumexp(-1)


def decoder_nats(denoiser: Denoiser, process: ForwardProcess, canvas: Canvas, sampler: Sampler) -> Tensor:
    """-log of the probability that a sampler writes the free tokens of each row as they stand: nats, float64 [B].

    It is exact where the places of each step follow from what is written before it: over all texts the probabilities sum
    to 1. Source: the chain rule; any-order autoregressive models, arXiv 2110.02037.

    Raises:
        ConfigError: other noise; or a sampler that draws its places, or chooses them by what was drawn, so that the places
            of a text tell of the text; one that writes tokens again; or one with warps, which make other probabilities.
    """
    _mask_id(process)
    return -sampler.sample(denoiser, process, canvas, told=canvas.ids).log_p.sum(-1).cpu()


def _mask_id(process: ForwardProcess) -> int:
    """What hides a token."""
    if not isinstance(process, AbsorbingProcess) or process.vocabulary.mask_id is None:
        raise ConfigError("orders are for absorbing noise: with other noise a token does not settle once and for all")
    return process.vocabulary.mask_id


def _numbered(process: ForwardProcess, uniform: Tensor, free: Tensor, steps: int | None) -> Tensor:
    """Long [B, L]: in which step each free position settles, from 0; -1 at all others."""
    if steps is not None:  # by time s so many have settled as alpha_s says
        ends = 1 - torch.arange(1, steps + 1, dtype=torch.float64, device=uniform.device) / steps
        number = torch.searchsorted(process.schedule.alpha(ends), uniform, right=True).clamp(max=steps - 1)
    else:
        number = uniform.masked_fill(~free, torch.inf).argsort(-1).argsort(-1)
    return number.masked_fill(~free, -1)


def _in_parts(number: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and the steps in which they settle something, Long [n] each, a few at a time."""
    last = int(number.max()) if number.numel() else -1
    settles = torch.stack([(number == step).any(-1) for step in range(last + 1)], -1) if last >= 0 else None
    if settles is not None:
        for part in torch.split(settles.nonzero(), _ROWS):
            yield part[:, 0], part[:, 1]


def _summed(values: Tensor, where: Tensor) -> Tensor:
    """Sums over rows of values [N] at the true places of `where` [n, L]."""
    sums = torch.zeros(len(where), dtype=torch.float64, device=values.device)
    return sums.index_add_(0, where.nonzero()[:, 0], values)
