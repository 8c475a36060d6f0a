"""Small numerical helpers that the processes share."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.vocabulary import Vocabulary

TINY = 1e-30
"""Stands for 0 where a probability divides: small enough to change no result, large enough for float32."""


def per_position(t: Tensor) -> Tensor:
    """Times [B] as [B, 1], so that they broadcast over positions; other shapes as they are. Float64."""
    return (t.unsqueeze(-1) if t.ndim == 1 else t).to(torch.float64)


def wide(logits: Tensor) -> Tensor:
    """At least float32: probabilities in half precision collapse the law."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def safe_log(p: Tensor) -> Tensor:
    """log p with -inf at 0, and a gradient of 0 there instead of NaN."""
    positive = p > 0
    return torch.where(positive, torch.where(positive, p, 1.0).log(), -torch.inf)


def at(table: Tensor, ids: Tensor) -> Tensor:
    """table [N, V] at ids [N]: [N]."""
    return table.gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def excess(u: Tensor) -> Tensor:
    """e^u - 1 - u, to full relative precision also for small u."""
    series = u * u * (1 / 2 + u * (1 / 6 + u * (1 / 24 + u * (1 / 120 + u * (1 / 720 + u / 5040)))))
    return torch.where(u.abs() < 0.03, series, torch.expm1(u) - u)


def mask_of(vocabulary: Vocabulary) -> int:
    """The mask id.

    Raises:
        ConfigError: the vocabulary has none.
    """
    if vocabulary.mask_id is None:
        raise ConfigError("a process that writes masks needs a vocabulary with a mask")
    return vocabulary.mask_id


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept must be usable in training later
def writable_mask(vocabulary: Vocabulary, device: torch.device) -> Tensor:
    """Bool [V], kept on the device: copying it there at each step would make the host wait."""
    return vocabulary.writable(device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept must be usable in training later
def writable_ids(vocabulary: Vocabulary, device: torch.device) -> Tensor:
    """Long [K], rising."""
    return vocabulary.writable().nonzero().squeeze(-1).to(device)


def uniform_token(vocabulary: Vocabulary, uniform: Tensor) -> Tensor:
    """A writable id for each float64 uniform of (0, 1), any shape."""
    count = vocabulary.writable_count
    return writable_ids(vocabulary, uniform.device)[(uniform * count).long().clamp(max=count - 1)]
