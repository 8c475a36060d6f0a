"""The NELBO of a text under a model, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from textdiff.denoiser import Denoiser
from textdiff.draws import Draws
from textdiff.objectives import estimator_for
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Likelihood:
    """A mean NELBO.

    Attributes:
        nats: total nats of all scored tokens, averaged over repeats.
        tokens: scored tokens.
        unscored: valid tokens that are given, such as unknown characters.
        standard_error: of nats / tokens; windows are the independent units.
    """

    nats: float
    tokens: int
    unscored: int
    standard_error: float

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens


@torch.no_grad()
def estimate_nelbo(
    denoiser: Denoiser, process: ForwardProcess, batches: Iterable[Canvas], repeats: int = 1, seed: int = 0
) -> Likelihood:
    """Estimates the NELBO of all free tokens.

    Noise levels follow a golden-ratio sequence over windows and repeats: evenly spread, and unrelated to the order of the
    text. The same seed gives the same noise, so two models are compared with common random numbers.

    Args:
        denoiser: the model's `denoise`.
        process: its process.
        batches: clean canvases; every row is a window.
        repeats: corruptions of each window.
        seed: of the levels; the noise of a row comes from the row's own seed.
    """
    nats: list[torch.Tensor] = []
    tokens: list[torch.Tensor] = []
    unscored = rows = 0
    for canvas in batches:
        levels = spread_levels(rows, len(canvas.ids), repeats, seed)
        nats.append(position_nats(denoiser, process, canvas, levels, seed).sum(-1))
        rows += len(canvas.ids)
        tokens.append(canvas.free.sum(-1).cpu())
        unscored += int((canvas.valid & canvas.frozen).sum())
    return _summary(torch.cat(nats), torch.cat(tokens), unscored)


def spread_levels(first: int, rows: int, repeats: int, seed: int) -> torch.Tensor:
    """Noise levels float64 [repeats, rows] in (0, 1) of the rows first, first + 1, …: a golden-ratio sequence."""
    start = float(Draws.seeded(seed).uniform(1)[0, 0])
    index = (first + torch.arange(rows)) * repeats + torch.arange(repeats).unsqueeze(-1)
    return (start + index * _GOLDEN_RATIO) % 1


@torch.no_grad()
def position_nats(
    denoiser: Denoiser, process: ForwardProcess, canvas: Canvas, levels: torch.Tensor, seed: int
) -> torch.Tensor:
    """What each free position adds to the NELBO of its row: nats, float64 [B, L] on the CPU, averaged over repeats.

    Args:
        denoiser: the model's `denoise`.
        process: its process.
        canvas: clean ids.
        levels: float64 [repeats, B], how far towards noise each row goes.
        seed: of the noise, together with the row's own seed.
    """
    estimator = estimator_for(process)
    total = torch.zeros(canvas.shape, dtype=torch.float64, device=canvas.ids.device)
    for repeat, level in enumerate(levels.to(total.device)):
        corruption = estimator.corrupt(canvas, level, Draws.seeded(canvas.seeds).fold(seed, repeat))
        logits = denoiser(corruption.x_t, corruption.t, canvas, corruption.where)
        values = estimator.nats(canvas, corruption, logits.float().log_softmax(-1))
        total[corruption.where] += values.double()
    return total.cpu() / len(levels)


def _summary(nats: torch.Tensor, tokens: torch.Tensor, unscored: int) -> Likelihood:
    """The ratio of sums and its standard error over windows."""
    count, total = int(tokens.sum()), float(nats.sum())
    residual = nats - total / max(count, 1) * tokens
    rows = len(nats)
    variance = float((residual**2).sum()) * rows / (rows - 1) if rows > 1 else math.inf
    return Likelihood(total, count, unscored, math.sqrt(variance) / max(count, 1))
