"""The one seam between networks and everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from textdiff.products import linear
from textdiff.text.canvas import Canvas


class Denoiser(Protocol):
    """Predicts x_0. `DiffusionModel.denoise` is one; a ten-line function in a test is another."""

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        """Logits of the leave-one-out denoiser, p(x_0 at a position | x_t without that position).

        Args:
            x_t: Long [B, L], the noisy ids; frozen positions hold what is given.
            t: float [B], the time of each row.
            canvas: what is given (frozen), what is to be written, what is padding.
            where: Bool [B, L], the positions whose logits are wanted.

        Returns:
            Float [N, V] for the N true positions of `where` in row-major order; -inf at ids that are not writable.
            Positions that are not valid never influence the result.
        """
        ...


@dataclass(frozen=True)
class Readout:
    """N positions just before their ids are scored: whoever needs scores makes them a few rows at a time.

    Attributes:
        hidden: float [N, D], or raw scores [N, V] where there is no `weight`.
        weight: float [V, D] or None.
        bias: float [V] or None.
        forbidden: Long [K], the ids that are not writable.
        convert: makes leave-one-out logits [n, V] of other logits, for these rows of the N; None where they already are.
    """

    hidden: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    forbidden: Tensor | None = None
    convert: Callable[[Tensor, slice], Tensor] | None = None

    def finish(self, raw: Tensor, rows: slice, own: bool = False) -> Tensor:
        """Leave-one-out logits [n, V] of the raw scores of some rows, float32 at least; -inf at ids that are not writable.

        own: whether nobody else has those scores, so that they may be overwritten.
        """
        logits = raw.to(torch.promote_types(raw.dtype, torch.float32))
        if self.forbidden is not None:
            own = (own or logits is not raw) and not logits.requires_grad
            logits = (logits.index_fill_ if own else logits.index_fill)(-1, self.forbidden, -torch.inf)
        return logits if self.convert is None else self.convert(logits, rows)

    @property
    def width(self) -> int:
        """V."""
        return int(self.hidden.shape[-1]) if self.weight is None else len(self.weight)

    def logits(self, rows: slice = slice(None)) -> Tensor:
        """The leave-one-out logits of some rows, [n, V]; by default of all."""
        raw = self.hidden[rows]
        if self.weight is not None:
            raw = linear(raw, self.weight, self.bias)
        return self.finish(raw, rows, own=self.weight is not None)


class Reader(Protocol):
    """The same as a `Denoiser`, one layer earlier: not all logits need be alive at once. `DiffusionModel.read` is one."""

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        """The readout at the true positions of `where`; see `Denoiser`."""
        ...


def as_readout(found: Tensor | Readout) -> Readout:
    """What a `Denoiser` or a `Reader` gave, as that of a reader."""
    return Readout(found) if isinstance(found, Tensor) else found
