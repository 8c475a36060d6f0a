"""What a step from one noise level to another costs on texts, and the steps that cost least together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import singledispatch
from itertools import pairwise

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.text.canvas import Canvas


def levels(count: int) -> Tensor:
    """alpha = sin^2(pi/2 k / count), float64 [count + 1] from 0 to 1: closest together at both ends."""
    return torch.sin(math.pi / 2 * torch.arange(count + 1, dtype=torch.float64) / count) ** 2


@torch.no_grad()
def step_costs(denoiser: Denoiser, process: ForwardProcess, batches: Iterable[Canvas], alphas: Tensor) -> Tensor:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) summed over a text's tokens, for each pair of levels.

    Over any chain of steps from noise to data these costs sum to the bound of as many steps on -log p(x_0). For an exact
    denoiser the sum, less the entropy, is KL(data || written), with the way there counted in. At all levels a text meets
    the same noise, so that what is noise at one level is noise at those below.

    Args:
        denoiser: asked once for each batch and level.
        process: its process.
        batches: clean canvases.
        alphas: float64 [M], rising from 0 to 1; the shares of tokens that have survived.

    Returns:
        Float64 [M, M], nats per free token: row, the noisier level; column, the cleaner one; infinite elsewhere.

    Raises:
        ConfigError: the process has no noise levels to choose from, or the texts no token that could be noise.

    Source: D3PM, arXiv 2107.03006, Eq. 1; with a mask, the information profile of arXiv 2510.25544.
    """
    if process.left_to_right:
        raise ConfigError("a left-to-right model writes one token a step: it has no noise levels to choose")
    times = process.schedule.inverse(alphas)
    costs, tokens = torch.zeros(len(alphas), len(alphas), dtype=torch.float64), 0
    for canvas in batches:
        tokens += int(canvas.free.sum())
        for k in range(len(alphas) - 1):
            t = times[k].expand(len(canvas.ids)).to(canvas.ids.device)
            drawn = process.sample(canvas.ids, t, Draws.seeded(canvas.seeds))
            x_t = torch.where(canvas.free, drawn, canvas.ids)
            where = process.scored(x_t, canvas.free)
            log_p = denoiser(x_t, t, canvas, where).float().log_softmax(-1)
            costs[k, k + 1 :] += from_here(process, log_p, canvas.ids[where], x_t[where], t[:1], times[k + 1 :])
    if not tokens:
        raise ConfigError("the texts have no token that could be noise")
    return (costs / tokens).masked_fill(torch.ones_like(costs).tril().bool(), torch.inf)


@singledispatch
def from_here(process: ForwardProcess, log_p: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, ends: Tensor) -> Tensor:
    """Nats of all packed positions together for each time that a step from t may end at, float64."""
    truth = torch.full_like(log_p, -torch.inf).scatter(-1, x_0.unsqueeze(-1), 0.0)
    found = []
    for s in ends.to(t):
        q, p = (process.posterior(law, x_t, s.expand(x_t.shape), t.expand(x_t.shape)) for law in (truth, log_p))
        found.append(torch.where(q.isneginf(), 0.0, q.exp() * (q - p)).sum(dtype=torch.float64).cpu())
    return torch.stack(found)


@from_here.register
def _(process: AbsorbingProcess, log_p: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, ends: Tensor) -> Tensor:
    """The cross-entropy at masks, times the probability that one settles."""
    nats = -log_p.gather(-1, x_0.unsqueeze(-1)).sum(dtype=torch.float64).cpu()
    alpha_t, alpha_s = process.schedule.alpha(t.cpu()), process.schedule.alpha(ends)
    return nats * (alpha_s - alpha_t) / (1 - alpha_t)


def cheapest(costs: Tensor, steps: int) -> list[int]:
    """The levels at which so many steps cost least together, from the first to the last, by dynamic programming.

    Args:
        costs: of `step_costs`.
        steps: at least 1, and no more than there are levels to go.

    Raises:
        ConfigError: it is not.

    Source: arXiv 2106.03802, section 3.
    """
    if not 1 <= steps < len(costs):
        raise ConfigError(f"steps must be from 1 to {len(costs) - 1}, the number of levels, got {steps}")
    best, before = costs[0], []
    for _ in range(steps - 1):
        best, origin = (best.unsqueeze(-1) + costs).min(0)
        before.append(origin)
    way = [len(costs) - 1]
    for origin in reversed(before):
        way.append(int(origin[way[-1]]))
    return [0, *reversed(way)]


def price(costs: Tensor, way: list[int]) -> float:
    """What the steps between these levels cost together, nats per token."""
    return sum(float(costs[a, b]) for a, b in pairwise(way))
