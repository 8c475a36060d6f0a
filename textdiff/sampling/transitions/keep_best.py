"""What transitions share that rank all tokens of a row, old and new, and keep the best."""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.sampling.accept.ranked import rank_by_score, staying
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move


def keep_best(step: Step, score: Tensor) -> Move:
    """Of each row the free tokens with the highest scores stand at s, all but (1 - alpha_s) F of F; the others are noise.

    step: with its proposals, which stand for noisy positions. score: float64 [B, L].
    """
    stays = best(step, score)
    settled = step.pack(stays)
    ids = torch.where(settled, step.proposal, step.pack(step.x_t))
    return Move(ids, settled, renoised=step.settled & ~stays)


def best(step: Step, score: Tensor) -> Tensor:
    """Bool [B, L]: the free positions whose tokens stand at s."""
    row, column = step.free.nonzero(as_tuple=True)
    written = step.free.sum(-1) - staying(step)
    return torch.zeros_like(step.free).index_put((row, column), rank_by_score(row, score[row, column]) < written[row])


def scores(step: Step, settled: Tensor) -> Tensor:
    """Float64 [B, L]: log p of the proposals at packed positions, and what is given, float64 [B, L], at the others."""
    return settled.index_put((step.row, step.column), step.confidence.to(settled.dtype))
