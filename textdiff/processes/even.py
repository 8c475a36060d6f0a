"""The bound of noise that makes no difference between words, in one pass over V."""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.processes.numerics import at, excess, wide


def even_bound(
    log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, odds: Tensor, count: int, masked: Tensor | None = None
) -> Tensor:
    """Sum over j != x_t of q(j | x_0) / b (e^u - 1 - u), u = log of (p(j) / p(x_t)) / (q(j | x_0) / q(x_t | x_0)).

    q(j | x_0) = alpha onehot(x_0) + b_j, and p the same with the network's x_0 in place of onehot(x_0). Noise b_j is b for each
    of the writable ids, so that all of them but x_0 and x_t have the same q, and only sums over V remain.

    Args:
        log_p_x0: float [N, V], without any probability at ids that are not writable.
        x_0, x_t: Long [N]; x_t is writable, or the mask.
        odds: float64 [N], alpha / b: by how much survival outweighs one noise token.
        count: of writable ids.
        masked: float64 [N], the noise of the mask over b, where noise writes masks too.

    Returns:
        Float64 [N].
    """
    log_p = wide(log_p_x0)
    lift = (log_p + odds.log().unsqueeze(-1).to(log_p.dtype)).exp()
    lifts, gaps = lift.sum(-1, dtype=torch.float64), (lift - lift.log1p()).sum(-1, dtype=torch.float64)
    lift_0, lift_t = at(lift, x_0).to(torch.float64), at(lift, x_t).to(torch.float64)
    kept = x_0 == x_t
    # u_j = log(1 + lift_j) + shift for all j but x_0 and x_t, whose terms are taken out of the sums. The mask has no lift.
    shift = torch.where(kept, odds.log1p(), 0.0) - lift_t.log1p()
    others = _others(shift, count, lifts, gaps) - _others(shift, 1, lift_t, lift_t - lift_t.log1p())
    if masked is not None:
        # An x_t that is the mask has no shift, and so nothing is added for it.
        others = others + masked * excess(shift)
    without_0 = others - _others(shift, 1, lift_0, lift_0 - lift_0.log1p())
    truth = (1 + odds) * excess(lift_0.log1p() - lift_t.log1p() - odds.log1p())
    return torch.where(kept, others, without_0 + truth)


def _others(shift: Tensor, count: int, lifts: Tensor, gaps: Tensor) -> Tensor:
    """Sum over `count` ids of e^u - 1 - u, u = log(1 + lift) + shift, from sums of lift and of lift - log(1 + lift)."""
    return count * excess(shift) + torch.expm1(shift) * lifts + gaps
