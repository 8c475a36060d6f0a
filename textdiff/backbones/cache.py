"""What a causal network keeps of what it has read: every token then goes through it once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.backbones.layers import LayerCache


@dataclass
class KeyValueCache:
    """Keys and values of B rows, in place.

    Attributes:
        layers: of each layer.
        ids: Long [B, L], the rows as they were read.
        filled: Long [B], how many positions of each are known, from the left.
    """

    layers: list[LayerCache]
    ids: Tensor
    filled: Tensor

    @staticmethod
    def empty(layers: int, rows: int, length: int, heads: int, like: Tensor) -> KeyValueCache:
        """Nothing read yet. like: [.., D], of the network's kind and on its device."""
        shape = (rows, length, heads, like.shape[-1] // heads)
        # zeros, for what is not read yet has no weight in attention, and no weight times not-a-number would be one
        kept = [LayerCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(layers)]
        ids = torch.full((rows, length), -1, device=like.device)
        return KeyValueCache(kept, ids, torch.zeros(rows, dtype=torch.long, device=like.device))

    def known(self, rows: Tensor, x_t: Tensor) -> Tensor:
        """Long [R]: how many positions of these rows need not be read again.

        A position is known while all ids before it are those that it was read behind. x_t: Long [R, L].
        """
        same = (self.ids[rows, : x_t.shape[1]] == x_t).long().cumprod(-1).sum(-1)
        return torch.minimum(self.filled[rows], same + 1)

    def note(self, rows: Tensor, x_t: Tensor, last: Tensor) -> None:
        """From now on these rows are known up to the position `last`, Long [R]."""
        self.ids[rows, : x_t.shape[1]] = x_t
        self.filled[rows] = last + 1
