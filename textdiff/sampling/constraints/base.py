"""What must hold of the result."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from textdiff.errors import UsageError
from textdiff.sampling.joint import Joint
from textdiff.sampling.step import Step
from textdiff.text.canvas import Canvas


class Constraint(ABC):
    """What the settled tokens of a batch satisfy in the end, for certain. A value, made for one canvas.

    A constraint that says for each position alone which tokens it may take overrides `allowed`. One that makes
    positions depend on each other overrides `plan` and `joint`: such positions are asked for and drawn together.
    """

    @property
    def ties(self) -> bool:
        """Whether what may stand at a position depends on what stands at others."""
        return any(getattr(type(self), name) is not getattr(Constraint, name) for name in ("certain", "plan", "joint"))

    @abstractmethod
    def check(self, canvas: Canvas) -> None:
        """Looks at the canvas before anything is drawn.

        Raises:
            UsageError: the constraint was made for a canvas of another shape.
            DataError: nothing can satisfy it.
        """

    @abstractmethod
    def rows(self, index: Tensor) -> Constraint:
        """The same for some of the rows (Long or Bool index [B])."""

    @abstractmethod
    def cut(self, length: int) -> Constraint:
        """The same for rows that end after so many positions."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Constraint:
        """The same on another device."""

    def allowed(self, step: Step) -> Tensor | None:
        """Bool [N, V]: the tokens that a packed position may take, whatever stands elsewhere; None for all."""
        return None

    def certain(self, x_t: Tensor, noisy: Tensor) -> Tensor | None:
        """What must stand at noisy positions already, after what has settled; None for nothing.

        Args:
            x_t: Long [B, L].
            noisy: Bool [B, L].

        Returns:
            Long [B, L], ids that settle at once and without the network; -1 elsewhere.
        """
        return None

    def plan(self, step: Step, where: Tensor) -> Tensor:
        """Bool [B, L]: the noisy positions that must be asked for so that those of `where` can be drawn.

        Nothing in a row where `where` has nothing: such a row costs no network call.
        """
        return where

    def joint(self, step: Step, log_w: Tensor) -> Joint | None:
        """The law of the packed tokens with these weights, float [N, V]; None where they are independent."""
        return None


def require_shape(name: str, found: Tensor, shape: tuple[int, ...]) -> None:
    """Raises UsageError where a constraint's tensor does not fit."""
    if tuple(found.shape) != shape:
        raise UsageError(f"{name} of a constraint must have the shape {list(shape)}, got {list(found.shape)}")


def require_range(name: str, found: Tensor, low: int, high: int) -> None:
    """Raises UsageError where a constraint's numbers are not from `low` to `high` - 1."""
    if found.numel() and not (low <= int(found.min()) and int(found.max()) < high):
        raise UsageError(f"{name} of a constraint must be from {low} to {high - 1}")
