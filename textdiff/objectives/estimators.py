"""Single-draw estimates of the NELBO: how a batch is corrupted, and how its nats are counted afterwards.

Both training and evaluation take their numbers from here, so what is reported is what the maths says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property, singledispatch
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from textdiff.draws import Draws
from textdiff.packed import places_of, take
from textdiff.processes import AbsorbingProcess, AutoregressiveProcess, BlockProcess, ForwardProcess
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Corruption:
    """A noisy batch.

    Attributes:
        x_t: Long [B, L]; frozen positions are untouched.
        t: float64 [B].
        where: Bool [B, L], the N positions whose nats are not identically zero: only they need logits.
        weight: float64 [B, 1], what a row counts for in the bound; or [B, L], what each of its positions does.
    """

    x_t: Tensor
    t: Tensor
    where: Tensor
    weight: Tensor

    @cached_property
    def places(self) -> Tensor:
        """Long [N]: the packed positions; see `places_of`. Asked for before the network runs, it keeps no GPU waiting."""
        return places_of(self.where)

    def part(self, places: Tensor) -> Corruption:
        """The same noisy batch with only some of its `places` [n] to score, in their order."""
        where = torch.zeros_like(self.where).flatten().index_fill_(0, places, True).view_as(self.where)
        part = replace(self, where=where)
        vars(part)["places"] = places  # known already: nobody need wait for it
        return part

    def packed(self, values: Tensor) -> Tensor:
        """What [B, L], or what expands to it, holds at the packed positions [N]."""
        return take(values.expand(self.where.shape), self.places)

    @property
    def row(self) -> Tensor:
        """Long [N]: the row of each packed position."""
        return self.places // self.where.shape[1]

    @property
    def packed_weight(self) -> Tensor:
        """Float64 [N]: what each packed position counts for."""
        return self.packed(self.weight)


class LevelNats(NamedTuple):
    """What rows cost at the noise levels that they were brought to, float64 [B] each.

    Attributes:
        level: where a row stands on the axis from 0, data, to 1, noise; see `Estimator.axis`.
        nats: what it adds to the integral over that axis.
        tokens: its free tokens, times the share of the axis that it stands for.
    """

    level: Tensor
    nats: Tensor
    tokens: Tensor


class Estimator(ABC):
    """An unbiased estimate of the NELBO from one corruption of each row.

    Attributes:
        axis: what a noise level is.
        integrand: what nats per token at a noise level are. Its mean over the axis is the bound, but for `boundary_nats`.
        free_per_scored: free positions per scored position, on average over noise levels.
        exact: whether this is the likelihood itself, and so the same at all levels and in all draws.
    """

    axis: ClassVar[str]
    integrand: ClassVar[str]
    free_per_scored: ClassVar[float] = 1.0
    exact: ClassVar[bool] = False

    @property
    def for_training(self) -> Estimator:
        """The estimate that a network learns from best."""
        return self

    @abstractmethod
    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        """Corrupts the free positions. level float64 [B] in (0, 1), uniform: how far towards noise."""

    @abstractmethod
    def nats(self, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor) -> Tensor:
        """The estimate for each packed position, nats [N], from leave-one-out log-probabilities [N, V]."""

    @abstractmethod
    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """What `nats` [N] say of the noise level of each row."""


class CrossEntropyForm(Estimator):
    """One whose nats are the cross-entropy at the scored positions, times the weight of the row."""

    def nats(self, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor) -> Tensor:
        target = corruption.packed(canvas.ids)
        return -log_p_x0.gather(-1, target[:, None]).squeeze(-1) * corruption.packed_weight


@dataclass(frozen=True)
class CountForm(CrossEntropyForm):
    """Absorbing noise: n ~ U{1..F} of the F free tokens are masked, weight F / n.

    The same bound as the integral over t, for every schedule, with a standard deviation 3 to 5 times smaller.
    Source: LLaDA, arXiv 2502.09992, equation 6 (after RADD, arXiv 2406.03736).
    """

    process: AbsorbingProcess
    axis: ClassVar[str] = "mask_share"
    integrand: ClassVar[str] = "cross_entropy"
    free_per_scored: ClassVar[float] = 2.0

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        free = canvas.free
        total = free.sum(-1)
        count = torch.minimum((level * total).floor().long() + 1, total)
        x_t = self.process.mask_exactly(canvas.ids, free, count, draws)
        share = count / total.clamp(min=1).double()
        weight = 1 / share.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(-1)
        t = self.process.schedule.inverse(1 - share)
        return Corruption(x_t, t, self.process.scored(x_t, free), weight)

    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """n of F tokens are masked, weight F / n: nats / F is the mean cross-entropy of the masked ones."""
        return LevelNats(
            1 / corruption.weight.double().squeeze(-1), of_rows(corruption, nats), canvas.free.sum(-1).double()
        )


@dataclass(frozen=True)
class BlockForm(CrossEntropyForm):
    """Block by block: the count form of each, the same level for all blocks of a row. The bound is the sum over blocks.

    One pass of the network serves all of them: each block is noisy for itself, and clean for those behind it.
    Source: BD3-LM, arXiv 2503.09573.
    """

    process: BlockProcess
    axis: ClassVar[str] = "mask_share"
    integrand: ClassVar[str] = "cross_entropy"

    @property
    def free_per_scored(self) -> float:  # type: ignore[override]  # it depends on the process
        """Of F free tokens (F + 1) / 2 are masked on average, F those of a whole block."""
        return 2 * self.process.block_size / (self.process.block_size + 1)

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        (rows, length), size = canvas.shape, self.process.block_size
        ids, free = (pad(part, (0, -length % size)).reshape(-1, size) for part in (canvas.ids, canvas.free))
        each = len(free) // max(1, rows)
        total = free.sum(-1)
        count = torch.minimum((level.repeat_interleave(each) * total).floor().long() + 1, total)
        number = torch.arange(each, device=free.device).repeat(rows)
        own = Draws(draws.keys.repeat_interleave(each)).fold(number)
        x_t = self.process.mask_exactly(ids, free, count, own).view(rows, -1)[:, :length]
        weight = (total / count.clamp(min=1).double()).view(rows, -1).repeat_interleave(size, -1)[:, :length]
        t = self.process.schedule.inverse(1 - level.double())
        return Corruption(x_t, t, self.process.scored(x_t, canvas.free), weight)

    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """The share `level` of each block is masked, but for rounding; weighed, nats / F is the mean cross-entropy."""
        level = 1 - self.process.schedule.alpha(corruption.t.double())
        return LevelNats(level, of_rows(corruption, nats), canvas.free.sum(-1).double())


@dataclass(frozen=True)
class ChainForm(CrossEntropyForm):
    """Left to right: the chain rule. A causal denoiser reads clean text, and tells at once what each token costs."""

    process: AutoregressiveProcess
    axis: ClassVar[str] = "none"
    integrand: ClassVar[str] = "cross_entropy"
    exact: ClassVar[bool] = True

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        """Nothing is corrupted: whatever stands at a position, its logits do not know it."""
        return Corruption(canvas.ids, torch.zeros_like(level), canvas.free, torch.ones_like(level).unsqueeze(-1))

    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """All of it is at level 0."""
        return LevelNats(corruption.t.double(), of_rows(corruption, nats), canvas.free.sum(-1).double())


@dataclass(frozen=True)
class TimeForm(Estimator):
    """Any process: the integrand of the bound at t, and what the ends of time add.

    t = level^2, with weight 2 * level: a token that was hit by time t may cost about 1 / t, with probability t.
    """

    process: ForwardProcess
    axis: ClassVar[str] = "time"
    integrand: ClassVar[str] = "nelbo_integrand"

    def corrupt(self, canvas: Canvas, level: Tensor, draws: Draws) -> Corruption:
        free = canvas.free
        t = level**2
        noisy = self.process.sample(canvas.ids, t[:, None], draws)
        x_t = torch.where(free, noisy, canvas.ids)
        return Corruption(x_t, t, self.process.scored(x_t, free), 2 * level.unsqueeze(-1))

    def nats(self, canvas: Canvas, corruption: Corruption, log_p_x0: Tensor) -> Tensor:
        x_0, x_t = corruption.packed(canvas.ids), corruption.packed(corruption.x_t)
        times, weight = corruption.t[corruption.row], corruption.packed_weight
        return self.process.nelbo(log_p_x0, x_0, x_t, times) * weight + self.process.boundary_nats(x_0)

    def at_level(self, canvas: Canvas, corruption: Corruption, nats: Tensor) -> LevelNats:
        """A row stands for dt = weight * d level; what the ends of time add belongs to no t."""
        inner = nats - self.process.boundary_nats(corruption.packed(canvas.ids))
        tokens = canvas.free.sum(-1) * corruption.weight.double().squeeze(-1)
        return LevelNats(corruption.t.double(), of_rows(corruption, inner), tokens)


def of_rows(corruption: Corruption, values: Tensor) -> Tensor:
    """Sums [B] of packed values [N] over rows."""
    return torch.zeros_like(corruption.t, dtype=torch.float64).index_add_(0, corruption.row, values.double())


@singledispatch
def estimator_for(process: ForwardProcess) -> Estimator:
    """The estimate with the least variance that a process has. A new kind of process registers its own."""
    return TimeForm(process)


@estimator_for.register
def _(process: AbsorbingProcess) -> Estimator:
    return CountForm(process)


@estimator_for.register
def _(process: BlockProcess) -> Estimator:
    return BlockForm(process)


@estimator_for.register
def _(process: AutoregressiveProcess) -> Estimator:
    return ChainForm(process)


def stratified(draws: Draws, first: int, rows: int, total: int) -> Tensor:
    """Levels [rows] float64 in (0, 1), stratified over a global batch of `total` rows: (i + u) / total, one shared u.

    Args:
        draws: one row: the stream of this global batch, the same wherever a part of it is computed.
        first: the index of the first of these rows in the global batch.
        rows: how many are wanted.
        total: the size of the global batch.

    Source: variational diffusion models, arXiv 2107.00630, appendix I.1 (low-discrepancy sampler).
    """
    index = torch.arange(first, first + rows, dtype=torch.float64, device=draws.keys.device)
    return (index + draws.uniform(1)[0]) / total
