"""Text is erased from its end: each token is predicted from those before it, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.processes.absorbing import AbsorbingProcess
from textdiff.processes.base import ForwardProcess
from textdiff.processes.numerics import at, per_position, wide
from textdiff.registry import register


@register(ForwardProcess, "autoregressive")
@dataclass(frozen=True)
class AutoregressiveProcess(AbsorbingProcess):
    """Masks come from the right, one token at a time; undone, this is writing from left to right.

    To a token whose place nobody knows this is absorbing noise, of which a share alpha_t is left. But the order is
    certain, and so the denoiser must be causal: it gives p(x_0 at i | x_0 before i), whatever stands at i and behind it.
    Read on clean text, it says at once what each token costs. The bound is the likelihood itself, with no noise in it.
    Text is written by `LeftToRightAccept`: a reverse kernel of single tokens, which know no place, could not keep the order.

    Source: order-agnostic models, arXiv 2110.02037, of which this is the case of one fixed order.
    """

    left_to_right: ClassVar[bool] = True

    def sample(self, x_0: Tensor, t: Tensor, draws: Draws) -> Tensor:
        """The ends of rows become masks. One uniform a row lets a share alpha_t survive on average, not only nearly."""
        length = x_0.shape[-1]
        place = (torch.arange(length, device=x_0.device) + draws.uniform(1)) / max(1, length)
        return torch.where(place < self.schedule.alpha(per_position(t)), x_0, self.mask_id)

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """-log p(x_0), whatever t and x_t are."""
        return -at(wide(log_p_x0), x_0)

    def log_p_clean(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return at(wide(log_p_x0), x_0)

    def to_leave_one_out(self, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """As they are: the denoiser has not seen the token."""
        return wide(logits)

    def scored(self, x_t: Tensor, free: Tensor) -> Tensor:
        return free
