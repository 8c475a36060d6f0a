"""Packed positions: [N, ...] for those of [B, L, ...] that somebody asks for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from textdiff.masks import known_places


def places_of(where: Tensor) -> Tensor:
    """Long [N]: the true positions of Bool [B, L], in row-major order, counted through all rows.

    How many there are a GPU has to tell where the mask was not made of its places, so the host waits for all that it was given
    before: ask early.
    """
    known = known_places(where)
    return where.flatten().nonzero().squeeze(-1) if known is None else known


def take(x: Tensor, places: Tensor) -> Tensor:
    """What stands at some places, each of them named once: x [B, L, ...] -> [N, ...]. Nothing waits for it."""
    taken: Tensor = _Take.apply(x.flatten(0, 1), places)  # type: ignore[no-untyped-call]
    return taken


class _Take(torch.autograd.Function):
    """`index_select` whose gradient is put back and not added up: torch cannot know that no place comes twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.shape).index_copy_(0, places, grads[0]), None
