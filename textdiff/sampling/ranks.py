"""Ranking inside groups of packed positions, with no loop and no padding."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_within(group: Tensor, key: Tensor) -> Tensor:
    """The place of each entry among those of its own group by rising key, from 0. Ties keep their order.

    Args:
        group: Long [N].
        key: float [N], finite or infinite.

    Returns:
        Long [N]. An entry's rank depends on nothing outside its group.
    """
    order = key.argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    grouped = group[order]
    place = torch.arange(len(order), device=order.device) - torch.searchsorted(grouped, grouped)
    return torch.empty_like(order).scatter(0, order, place)
