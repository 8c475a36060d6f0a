"""One position at a time, in random order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.registry import register
from textdiff.sampling.accept.base import Accept
from textdiff.sampling.step import Step, Stream


@register(Accept, "first_hitting")
@dataclass(frozen=True)
class FirstHittingAccept(Accept):
    """One noisy position of each row, chosen uniformly, settles in each step. Source: arXiv 2409.02908, section 4."""

    def plan(self, step: Step) -> Tensor:
        ticket = step.uniform(Stream.ACCEPT).masked_fill(~step.noisy, 2.0)
        place = torch.arange(ticket.shape[-1], device=ticket.device)
        return step.noisy & (place == ticket.argmin(-1, keepdim=True))
