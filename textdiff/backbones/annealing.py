"""From a causal mask to none: what a left-to-right network may see ahead while it learns to read in both directions."""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.draws import Draws


def visible_with(draws: Draws, length: int, share: float) -> Tensor:
    """Which positions see which: each sees itself and all before it, and of those behind it each with a probability.

    Source: attention mask annealing of DiffuLLaMA (arXiv 2410.17891), there with one draw for all rows of a batch.

    Args:
        draws: a stream per row.
        length: L.
        share: the probability; it rises to 1 as training goes on.

    Returns:
        Bool [B, L, L], the seeing position first.
    """
    ahead = draws.uniform(length * length).view(-1, length, length) < share
    return ahead | torch.ones_like(ahead).tril()
