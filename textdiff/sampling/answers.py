"""From a step that is planned to one that knows what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from textdiff.denoiser import Denoiser, Reader, Readout, as_readout
from textdiff.sampling.classifiers import Classifier
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.distributions import with_logits
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp
from textdiff.text.canvas import Canvas

Answers = tuple[list[Tensor], Tensor | None]
"""Logits of each side, and what the classifier says; all [N, V]."""


@dataclass(frozen=True)
class Networks:
    """Who is asked in each step.

    Attributes:
        sides: the network, or the strong and the weak one.
        classifier: what guidance leads towards, or None.
    """

    sides: tuple[Denoiser | Reader, ...]
    classifier: Classifier | None = None

    def ask(self, step: Step, times: Tensor, canvas: Canvas, where: Tensor) -> tuple[list[Readout], Tensor | None]:
        """What each side says at the true positions of where, and the classifier, [N, V]."""
        said = [as_readout(side(step.x_t, times, canvas, where)) for side in self.sides]
        return said, None if self.classifier is None else self.classifier(step.x_t, times, canvas, where)


def answered(step: Step, networks: Networks, times: Tensor, canvas: Canvas, constraint: Constraint | None) -> Step:
    """The step with the distributions at its packed positions. times: float [B], the time that the network is told."""
    said, log_p_y = networks.ask(step, times, canvas, step.packed())
    return with_logits(step, [side.logits() for side in said], constraint, log_p_y=log_p_y)


def answered_and_judged(
    step: Step,
    networks: Networks,
    times: Tensor,
    canvas: Canvas,
    constraint: Constraint | None,
    warps: Sequence[Warp],
) -> Step:
    """The same, and `judged`: one network call for both."""
    where = step.packed()
    old = step.settled & where.any(-1, keepdim=True)
    both = where | old
    said, log_p_y = networks.ask(step, times, canvas, both)
    answers, judged = ([side.logits() for side in said], log_p_y), old[both]
    step = replace(step, judged=_judged(step.planned(old, old), _part(answers, judged), constraint, warps))
    logits, log_p_y = _part(answers, ~judged)
    return with_logits(step, logits, constraint, log_p_y=log_p_y)


def _part(answers: Answers, chosen: Tensor) -> Answers:
    """Those at some of the positions, Bool [N]."""
    logits, log_p_y = answers
    return [side[chosen] for side in logits], None if log_p_y is None else log_p_y[chosen]


def _judged(step: Step, answers: Answers, constraint: Constraint | None, warps: Sequence[Warp]) -> Step:
    """Of settled tokens. What may stand at a place counts, not what ties places: the others are no choice to be made."""
    logits, log_p_y = answers
    allowed = None if constraint is None else constraint.allowed(step)
    step = with_logits(step, logits, None, allowed, log_p_y)
    return replace(step, proposal=propose(step, tuple(warp.at(step) for warp in warps)))
