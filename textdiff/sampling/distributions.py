"""From a network's logits to the distributions that policies see."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from textdiff.errors import CheckpointError, DataError
from textdiff.sampling.constraints import Constraint
from textdiff.sampling.step import Step
from textdiff.sampling.transitions import data_posterior


def with_logits(step: Step, logits: Tensor, constraint: Constraint | None) -> Step:
    """The step with `log_p_x0` and `log_p` filled in.

    Args:
        step: planned.
        logits: [N, V], of the leave-one-out denoiser; half precision is widened, since it would bend the law.
        constraint: for the rows of this step.

    Raises:
        DataError: a position has no token that is allowed and possible.
        CheckpointError: the logits have NaN or +inf.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    allowed = None if constraint is None else constraint.allowed(step)
    permitted = logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)
    if not torch.isfinite(permitted.amax(-1)).all():
        _complain(step, logits, permitted)
    log_p_x0 = permitted.log_softmax(-1)
    return replace(step, log_p_x0=log_p_x0, log_p=data_posterior(step, log_p_x0))


def _complain(step: Step, logits: Tensor, permitted: Tensor) -> None:
    if logits.isnan().any() or logits.isposinf().any():
        raise CheckpointError("the network's logits are not finite: the model is damaged or its precision too low")
    stuck = permitted.amax(-1).isneginf().nonzero()[0]
    column = int(step.column[stuck])
    raise DataError(f"no token is possible at position {column}: the constraints and the network leave none")
