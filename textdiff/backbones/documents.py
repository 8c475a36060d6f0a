"""Documents that stand in one row and do not see each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from textdiff.backbones.loading import refusing
from textdiff.errors import CheckpointError, ConfigError
from textdiff.vocabulary import Vocabulary

if TYPE_CHECKING:
    from textdiff.backbones.base import Backbone

_CLOSE = 1e-4


def same_document(documents: Tensor, valid: Tensor) -> Tensor:
    """Bool [B, 1, L, L]: which positions see each other. Padding sees padding: a position that sees nothing gives NaN.

    Args:
        documents: Long [B, L], numbers from 0.
        valid: Bool [B, L], not padding.
    """
    numbers = documents.masked_fill(~valid, -1)
    return (numbers[:, :, None] == numbers[:, None, :]).unsqueeze(1)


def positions_within(documents: Tensor, valid: Tensor) -> Tensor:
    """Long [B, L]: the place of every position in its document, from 0. The arguments are those of `same_document`."""
    numbers = documents.masked_fill(~valid, -1)
    place = torch.arange(numbers.shape[1], device=numbers.device).expand_as(numbers)
    begins = torch.ones_like(valid)
    begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
    return place - place.masked_fill(~begins, 0).cummax(-1).values


@torch.no_grad()
def require_separable(backbone: Backbone, vocabulary: Vocabulary, length: int) -> None:
    """Tries whether documents of one row leave each other alone: whether each has the scores that it has by itself.

    Args:
        backbone: a network in single precision.
        vocabulary: its ids.
        length: positions of the row. It should be as long as rows will be: some networks see their neighbours only.

    Raises:
        ConfigError: they do not.
    """
    training = backbone.training
    backbone.eval()
    try:
        with refusing("the network cannot be run"):
            same = _same_alone(backbone, vocabulary, length)
    except CheckpointError:  # some networks take no such mask
        same = False
    finally:
        backbone.train(training)
    if not same:
        raise ConfigError("separate_documents: this network cannot keep the documents of a sample apart")


def _same_alone(backbone: Backbone, vocabulary: Vocabulary, length: int) -> bool:
    device = next(backbone.parameters()).device
    parts = [max(1, length // 4), length - max(1, length // 4)]
    ids = torch.arange(length, device=device).remainder(vocabulary.size).unsqueeze(0)
    if vocabulary.mask_id is not None:  # in one of them only: some networks look at how many there are
        ids = torch.where(ids == vocabulary.mask_id, vocabulary.pad_id, ids)
        ids[0, -(parts[1] // 2 + 1) :] = vocabulary.mask_id
    time, every = torch.full((1,), 0.5, device=device), torch.ones_like(ids, dtype=torch.bool)
    documents = torch.arange(2, device=device).repeat_interleave(torch.tensor(parts, device=device)).unsqueeze(0)

    def scores(start: int, stop: int, numbers: Tensor | None) -> Tensor:
        flags = every[:, start:stop]
        return backbone.scores(ids[:, start:stop], time, flags, flags, flags, numbers).float()

    alone = torch.cat([scores(0, parts[0], None), scores(parts[0], length, None)])
    return torch.allclose(scores(0, length, documents), alone, rtol=0, atol=_CLOSE * float(alone.abs().max()))
