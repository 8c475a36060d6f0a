"""The tensors of a batch that is worked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class Canvas:
    """A batch of sequences with what is given and what is to be written.

    Attributes:
        ids: Long [B, L]. Clean ids in training and evaluation; for sampling anything may stand at free positions.
        frozen: Bool [B, L], given: never noised, scored or changed.
        valid: Bool [B, L], not padding. Padding stands to the right.
        seeds: Long [B], one per row: a row's randomness comes from nothing else.
        hidden: Bool [B, L] or None: given positions that the network must not see (condition dropout, guidance).
        blank: Bool [B] or None: rows that training shows with all free positions noise.
        documents: Long [B, L] or None: the document of its row that a position belongs to, where these do not see one
            another. A document's positions are neighbours; the number of padding means nothing.
        numbers: Long [B] or None: which rows of a larger batch these are, for a denoiser that keeps something of each.
    """

    ids: Tensor
    frozen: Tensor
    valid: Tensor
    seeds: Tensor
    hidden: Tensor | None = None
    blank: Tensor | None = None
    documents: Tensor | None = None
    numbers: Tensor | None = None

    @property
    def free(self) -> Tensor:
        """Bool [B, L]: to be written."""
        return self.valid & ~self.frozen

    @property
    def shape(self) -> tuple[int, int]:
        return (self.ids.shape[0], self.ids.shape[1])

    def rows(self, index: Tensor | slice) -> Canvas:
        """Some of the rows (Long or Bool index [B], or a slice)."""
        return self._map(lambda tensor: tensor[index])

    def cut(self, length: int) -> Canvas:
        """The first positions of every row."""
        return self._map(lambda tensor: tensor[:, :length] if tensor.dim() == 2 else tensor)

    def to(self, device: torch.device | str) -> Canvas:
        return self._map(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))

    def pin_memory(self) -> Canvas:
        """In memory that a GPU fetches from by itself, so that `to` need not wait."""
        return self._map(lambda tensor: tensor.pin_memory())

    def with_ids(self, ids: Tensor) -> Canvas:
        return replace(self, ids=ids)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Canvas:
        return replace(self, **{name: change(tensor) for name, tensor in vars(self).items() if tensor is not None})

    @staticmethod
    def of_rows(
        rows: Sequence[Sequence[int]],
        frozen: Sequence[Sequence[bool]],
        seeds: Sequence[int],
        vocabulary: Vocabulary,
        documents: Sequence[Sequence[int]] | None = None,
    ) -> Canvas:
        """Pads rows of different lengths to the right into one batch. Seeds are int64."""
        length = max((len(row) for row in rows), default=0)
        ids = torch.full((len(rows), length), vocabulary.pad_id, dtype=torch.long)
        given = torch.ones(len(rows), length, dtype=torch.bool)
        valid = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, (row, flags) in enumerate(zip(rows, frozen, strict=True)):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            given[i, : len(row)] = torch.tensor(flags, dtype=torch.bool)
            valid[i, : len(row)] = True
        canvas = Canvas(ids, given, valid, torch.tensor(seeds, dtype=torch.long))
        if documents is None:
            return canvas
        numbers = torch.zeros_like(ids)
        for i, row in enumerate(documents):
            numbers[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        return replace(canvas, documents=numbers)
