"""From a step that is planned to one that knows what the network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.distributions import with_logits
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.proposal import propose
from textdiff.sampling.warps import Warp
from textdiff.text.canvas import Canvas


def answered(
    step: Step, sides: Sequence[Denoiser], times: Tensor, canvas: Canvas, constraint: Constraint | None
) -> Step:
    """The step with the distributions at its packed positions. times: float [B], the time that the network is told."""
    where = _packed(step)
    return with_logits(step, [side(step.x_t, times, canvas, where) for side in sides], constraint)


def answered_and_judged(
    step: Step,
    sides: Sequence[Denoiser],
    times: Tensor,
    canvas: Canvas,
    constraint: Constraint | None,
    warps: Sequence[Warp],
) -> Step:
    """The same, and `judged`: one network call for both."""
    where = _packed(step)
    old = step.settled & where.any(-1, keepdim=True)
    both = where | old
    logits = [side(step.x_t, times, canvas, both) for side in sides]
    judged = old[both]
    step = replace(step, judged=_judged(step.planned(old, old), [side[judged] for side in logits], constraint, warps))
    return with_logits(step, [side[~judged] for side in logits], constraint)


def _packed(step: Step) -> Tensor:
    """Bool [B, L]."""
    return torch.zeros_like(step.noisy).index_put((step.row, step.column), torch.ones_like(step.wanted))


def _judged(step: Step, logits: list[Tensor], constraint: Constraint | None, warps: Sequence[Warp]) -> Step:
    """Of settled tokens. What may stand at a place counts, not what ties places: the others are no choice to be made."""
    step = with_logits(step, logits, None, allowed=None if constraint is None else constraint.allowed(step))
    return replace(step, proposal=propose(step, tuple(warp.at(step) for warp in warps)))
