"""From a network's logits to the distributions that policies see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from textdiff.errors import CheckpointError, DataError
from textdiff.processes import AbsorbingProcess
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.step import Step
from textdiff.sampling.transitions import data_posterior


def with_logits(
    step: Step,
    logits: Sequence[Tensor],
    constraint: Constraint | None,
    allowed: Tensor | None = None,
    log_p_y: Tensor | None = None,
    clean: bool = True,
) -> Step:
    """The step with `log_alone`, `log_p_x0`, `log_p`, `joint`, `sides` and `tilt` filled in.

    Args:
        step: planned.
        logits: [N, V] of the leave-one-out denoiser, or those of the strong and the weak side, in single precision at least:
            half precision would bend the law.
        constraint: for the rows of this step.
        allowed: Bool [N, V], where there is no constraint; None for all.
        log_p_y: [N, V], what a classifier says of each id; see `Classifier`.
        clean: whether anyone looks at `log_p`, which else is that of `log_p_x0`.

    Raises:
        DataError: a position has no token that is allowed and possible.
        CheckpointError: the logits have NaN or +inf. Neither error is raised of a step that is not `checked`.
    """
    allowed = allowed if constraint is None else constraint.allowed(step)
    log_alone, *weak = [_normalised(step, side, allowed) for side in logits]
    t = step.t[step.row]
    if not isinstance(step.process, AbsorbingProcess) and (weak or log_p_y is not None):
        step = replace(step, sides=(log_alone, *weak))
    if weak:
        log_alone = step.guidance.combined(log_alone, weak[0], t)
    if log_p_y is not None:
        step = replace(step, tilt=step.guidance.tilt(log_p_y.to(log_alone.dtype), t))
        log_alone = step.tilted(log_alone)
    log_p = data_posterior(step, log_alone) if clean else log_alone
    step = replace(step, log_alone=log_alone, log_p_x0=log_alone, log_p=log_p)
    joint = None if constraint is None else constraint.joint(step, log_p)
    if joint is None:
        return step
    if not joint.possible().all():
        raise _nothing_at(step, joint.stuck())
    log_p_x0 = joint.messages().add_(log_alone).log_softmax(-1)
    return replace(step, log_p_x0=log_p_x0, log_p=data_posterior(step, log_p_x0), joint=joint)


def _normalised(step: Step, logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Log-probabilities [N, V] among the tokens that may stand there."""
    permitted = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
    log_p = permitted.log_softmax(-1)
    if step.checked:
        _require_possible(step, logits, log_p)
    return log_p


def _require_possible(step: Step, logits: Tensor, log_p: Tensor) -> None:
    """That each position has a token. Where it has none, as where a logit is no number, log_softmax gives NaN for every id."""
    impossible = log_p[:, 0].isnan()
    if impossible.any():
        if logits.isnan().any() or logits.isposinf().any():
            raise not_finite()
        raise _nothing_at(step, impossible.nonzero()[0])


def not_finite() -> CheckpointError:
    """What a network is told whose logits are no numbers."""
    return CheckpointError("the network's logits are not finite: the model is damaged or its precision too low")


def _nothing_at(step: Step, position: Tensor) -> DataError:
    column = int(step.column[position])
    return DataError(f"no token is possible at position {column}: the constraints and the network leave none")
