"""The NELBO of a text under a model, or the likelihood itself, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader
from textdiff.objectives import LevelNats, estimator_for, position_nats, spread_levels
from textdiff.processes import ForwardProcess
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Likelihood:
    """A mean NELBO, or mean negative log-likelihood.

    Attributes:
        nats: total nats of all scored tokens, averaged over repeats.
        tokens: scored tokens; see `scored_tokens`.
        unscored: valid tokens that are given, such as unknown characters, counted in every window that shows them.
        standard_error: of nats / tokens, taken for what any text of this source costs: it has in it that other windows
            would have been scored, and other noise. As an error for this very text it is too wide. Windows are the
            independent units. Infinite for a single one.
        degrees_of_freedom: of the standard error, for Student's t; see `Score.interval`.
        exact: whether the nats are the likelihood itself and not a bound: that of a left-to-right model.
    """

    nats: float
    tokens: int
    unscored: int
    standard_error: float
    degrees_of_freedom: float
    exact: bool = False

    @property
    def name(self) -> str:
        """What scores call it."""
        return "exact_nll" if self.exact else "nelbo"

    @property
    def nats_per_token(self) -> float:
        """NaN where there is no scored token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def in_words(self) -> str:
        """What is known of it, for a person."""
        if not self.tokens:
            return "is not known: nothing of the text that was chosen can be scored"
        if not math.isfinite(self.standard_error):
            return f"{self.nats_per_token:.4f} nats/token (one window; an interval needs more)"
        return f"{self.nats_per_token:.4f} ± {self.standard_error:.4f} nats/token"


@torch.no_grad()
def estimate_nelbo(
    denoiser: Denoiser | Reader,
    process: ForwardProcess,
    batches: Iterable[Canvas],
    repeats: int = 1,
    seed: int = 0,
    on_levels: Callable[[int, LevelNats], None] | None = None,
    unit: int = 1,
) -> Likelihood:
    """Estimates the NELBO of all free tokens. That of a left-to-right model is their exact likelihood, and has no noise.

    Noise levels follow a golden-ratio sequence over windows and repeats: evenly spread, and unrelated to the order of the
    text. The same seed gives the same noise, so two models are compared with common random numbers.

    Args:
        denoiser: the model's `read`, or its `denoise`; see `position_nats`.
        process: its process.
        batches: clean canvases; every row is a window.
        repeats: corruptions of each window.
        seed: of the levels; the noise of a row comes from the row's own seed.
        on_levels: called with the number of a window, and what it and those that follow cost at their levels; see
            `LevelProfile`.
        unit: so many rows, one behind the other, are one independent unit of the standard error.
    """
    nats: list[Tensor] = []
    tokens: list[Tensor] = []
    first_levels: list[Tensor] = []
    unscored = rows = 0
    for canvas in batches:
        levels = spread_levels(rows, len(canvas.ids), repeats, seed)
        observe = None if on_levels is None else partial(on_levels, rows)
        nats.append(position_nats(denoiser, process, canvas, levels, seed, observe).sum(-1))
        rows += len(canvas.ids)
        first_levels.append(levels[0])
        tokens.append(scored_tokens(canvas, process.vocabulary.filler_id).cpu())
        unscored += int((canvas.valid & canvas.frozen).sum())
    exact = estimator_for(process).exact
    return _summary(torch.cat(nats), torch.cat(tokens), None if exact else torch.cat(first_levels), unscored, unit)


def scored_tokens(canvas: Canvas, filler: int | None) -> Tensor:
    """How many tokens a row's nats are for, Long [B]: its free ones, of which all fillers are one, the end of a text.

    How many positions are left over behind a text depends on the room that it was given, and tells nothing of the text.
    """
    if filler is None:
        return canvas.free.sum(-1)
    fillers = canvas.free & (canvas.ids == filler)
    return (canvas.free & ~fillers).sum(-1) + fillers.any(-1)


def _summary(nats: Tensor, tokens: Tensor, levels: Tensor | None, unscored: int, unit: int) -> Likelihood:
    total, count, exact = float(nats.sum()), int(tokens.sum()), levels is None
    if unit > 1:
        # neighbours stand at levels far apart: those of a unit are spread evenly, and units do not differ by level
        nats, tokens, levels = _by_unit(nats, unit), _by_unit(tokens, unit), None
    some = tokens > 0  # the other windows tell nothing of how much windows differ
    if levels is None:
        error, degrees = ratio_error(nats[some], tokens[some]), float(some.sum()) - 1
    else:
        error, degrees = spread_error(nats[some], tokens[some], levels[some])
    return Likelihood(total, count, unscored, error, degrees, exact)


def _by_unit(values: Tensor, unit: int) -> Tensor:
    """Sums [ceil(N / unit)] of values [N]."""
    return torch.stack([part.sum() for part in torch.split(values, unit)])


def spread_error(nats: Tensor, tokens: Tensor, levels: Tensor) -> tuple[float, float]:
    """The standard error of sum(nats) / sum(tokens) over independent windows at evenly spread levels, all [N].

    Windows cost more at some levels than at others. As the levels are spread evenly this hardly moves the mean, and it is
    no part of its error; so variance is measured between windows that are neighbours by level, as half the mean square of
    their successive differences. Of windows that were corrupted several times, the first level stands for all.

    Returns:
        The error, and its degrees of freedom; infinite and 0 for less than two windows.

    Source: von Neumann, Kent, Bellinson, Hart 1941, "The mean square successive difference", for the variance of the
    estimate, from which the degrees of freedom follow.
    """
    rows, count = len(nats), max(float(tokens.sum()), 1e-300)
    if rows < 2:
        return math.inf, 0.0
    steps = _residual(nats, tokens)[levels.argsort()].diff()
    variance = float((steps**2).sum()) / (2 * (rows - 1))
    return math.sqrt(variance * rows) / count, 2 * (rows - 1) ** 2 / (3 * rows - 4)


def ratio_error(nats: Tensor, tokens: Tensor) -> float:
    """The standard error of sum(nats) / sum(tokens) over independent windows [N]; infinite for a single one."""
    rows, count = len(nats), max(float(tokens.sum()), 1e-300)
    residual = _residual(nats, tokens)
    return math.sqrt(float((residual**2).sum()) * rows / (rows - 1)) / count if rows > 1 else math.inf


def _residual(nats: Tensor, tokens: Tensor) -> Tensor:
    return nats - float(nats.sum()) / max(float(tokens.sum()), 1e-300) * tokens
