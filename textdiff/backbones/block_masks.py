"""What positions see where text is read block by block. Source: BD3-LM, arXiv 2503.09573, its mask of one training pass."""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.backbones.documents import same_document
from textdiff.masks import is_full


def before_and_within(block_size: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Bool [stop - start, stop]: the positions from `start` on see all blocks before theirs, and their own."""
    block = torch.arange(stop, device=device) // block_size
    return block <= block[start:, None]


def noisy_beside_clean(block_size: int, valid: Tensor, documents: Tensor | None) -> Tensor:
    """Bool [B or 1, 1, 2 L, 2 L]: noisy text stands in the first half of a row, the same text clean in the second.

    Noisy positions see their own block as it is, and blocks before it clean. Clean positions see clean ones up to the end of
    their block.

    Args:
        block_size: positions of a block.
        valid: Bool [B, L], not padding.
        documents: Long [B, L] or None; see `Canvas`.
    """
    block = torch.arange(valid.shape[1], device=valid.device) // block_size
    own, before = block == block[:, None], block < block[:, None]
    seen = torch.cat((torch.cat((own, before), 1), torch.cat((torch.zeros_like(own), own | before), 1)))[None, None]
    if documents is None and is_full(valid):
        return seen
    numbers = torch.zeros_like(valid, dtype=torch.long) if documents is None else documents
    # Padding sees padding: a position that sees nothing gives NaN.
    return seen & same_document(numbers, valid).repeat(1, 1, 2, 2)
