"""Several constraints at once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textdiff.sampling.constraints.base import Constraint
from textdiff.sampling.step import Step
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class AllOf(Constraint):
    """All of them hold. They must not stand in each other's way: none sees what another forbids."""

    constraints: tuple[Constraint, ...]

    def check(self, canvas: Canvas) -> None:
        for constraint in self.constraints:
            constraint.check(canvas)

    def allowed(self, step: Step) -> Tensor | None:
        together: Tensor | None = None
        for constraint in self.constraints:
            allowed = constraint.allowed(step)
            if allowed is not None:
                together = allowed if together is None else together & allowed
        return together

    def admit(self, step: Step, settle: Tensor) -> Tensor:
        for constraint in self.constraints:
            settle = constraint.admit(step, settle)
        return settle

    def rows(self, index: Tensor) -> AllOf:
        return AllOf(tuple(constraint.rows(index) for constraint in self.constraints))
