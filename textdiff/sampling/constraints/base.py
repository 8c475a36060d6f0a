"""Which tokens may stand where."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from textdiff.errors import UsageError
from textdiff.sampling.step import Step
from textdiff.text.canvas import Canvas


class Constraint(ABC):
    """What the settled tokens of a batch satisfy in the end, for certain. A value, made for one canvas."""

    @abstractmethod
    def check(self, canvas: Canvas) -> None:
        """Looks at the canvas before anything is drawn.

        Raises:
            UsageError: the constraint was made for a canvas of another shape.
            DataError: nothing can satisfy it.
        """

    @abstractmethod
    def allowed(self, step: Step) -> Tensor | None:
        """Bool [N, V]: the tokens that one packed position may take if no other settles in this step; None for all."""

    def admit(self, step: Step, settle: Tensor) -> Tensor:
        """Bool [N], part of `settle`: which proposals may settle together so that the rest can still be satisfied.

        Of each row that has any at least one is admitted, and any part of what is admitted may settle too.
        """
        return settle

    @abstractmethod
    def rows(self, index: Tensor) -> Constraint:
        """The same for some of the rows (Long or Bool index [B])."""


def require_shape(name: str, found: Tensor, shape: tuple[int, ...]) -> None:
    """Raises UsageError where a constraint's tensor does not fit."""
    if tuple(found.shape) != shape:
        raise UsageError(f"{name} of a constraint must have the shape {list(shape)}, got {list(found.shape)}")
