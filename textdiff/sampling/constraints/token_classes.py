"""Each position takes its tokens from one class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.errors import DataError
from textdiff.sampling.constraints.base import Constraint, require_shape
from textdiff.sampling.step import Step
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class TokenClasses(Constraint):
    """Position (b, l) may take the tokens of class which[b, l].

    Attributes:
        table: Bool [C, V], the tokens of each class.
        which: Long [B, L], the class of each position; what stands at frozen positions is of no matter.
    """

    table: Tensor
    which: Tensor

    def check(self, canvas: Canvas) -> None:
        require_shape("which", self.which, canvas.shape)
        empty = canvas.free & ~self.table.any(-1)[self.which]
        if empty.any():
            row, column = empty.nonzero()[0].tolist()
            raise DataError(f"no token is allowed at position {column} of row {row}")

    def allowed(self, step: Step) -> Tensor:
        return self.table[step.pack(self.which)]

    def rows(self, index: Tensor) -> TokenClasses:
        return replace(self, which=self.which[index])

    def cut(self, length: int) -> TokenClasses:
        return replace(self, which=self.which[:, :length])

    def to(self, device: torch.device | str) -> TokenClasses:
        return TokenClasses(self.table.to(device), self.which.to(device))
