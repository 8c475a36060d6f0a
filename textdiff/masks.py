"""What is known of a mask, kept with the mask: a GPU need not be waited for to tell it again.

Where the true places of a mask are, and whether it has any others, are questions that the host must wait for. Whoever makes
a mask of places it knows says so, and an answer is given once for each tensor. Masks never change in place.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PLACES, _FULL, _EMPTY = "textdiff_places", "textdiff_full", "textdiff_empty"


def mask_at(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Tensor:
    """Bool [B, L], true at these places, Long [N] each and in row-major order, and nowhere else."""
    place = torch.add(column, row, alpha=shape[1])
    mask = torch.zeros(shape, dtype=torch.bool, device=row.device)
    mask.view(-1).index_fill_(0, place, True)
    setattr(mask, _PLACES, place)
    return mask


def known_places(mask: Tensor) -> Tensor | None:
    """Long [N]: the true places of a mask, counted through all rows; None where they would have to be looked for."""
    return getattr(mask, _PLACES, None)


def all_true(like: Tensor) -> Tensor:
    """A mask of this tensor's shape that is true everywhere, and known to be."""
    mask = torch.ones_like(like, dtype=torch.bool)
    setattr(mask, _FULL, True)
    return mask


def none_true(like: Tensor) -> Tensor:
    """A mask of this tensor's shape that is true nowhere, and known to be."""
    mask = torch.zeros_like(like, dtype=torch.bool)
    setattr(mask, _EMPTY, True)
    return mask


def known_empty(mask: Tensor) -> bool:
    """Whether a mask is known to be true nowhere, which is not waited for."""
    return getattr(mask, _EMPTY, False)


def is_full(mask: Tensor) -> bool:
    """Whether a mask is true everywhere."""
    known: bool | None = getattr(mask, _FULL, None)
    if known is None:
        known = bool(mask.all())
        setattr(mask, _FULL, known)
    return known
