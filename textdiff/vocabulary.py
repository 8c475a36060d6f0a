"""The ids that the maths needs to know."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.errors import ConfigError

_MOST = 1 << 24  # a damaged configuration must not have tables of absurd sizes made


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a model, V of them, the mask included.

    Attributes:
        size: V, the number of ids.
        special_ids: ids that are never noised and never written: mask, padding, document ends, unknown.
        mask_id: the absorbing state, or None where there is none. Counted among the special ids.
        pad_id: what stands at positions that are not valid; any id will do, padding is never looked at.
        filler_id: a writable id that means "no text here" and is dropped on the way out, or None.
    """

    size: int
    special_ids: tuple[int, ...] = ()
    mask_id: int | None = None
    pad_id: int = 0
    filler_id: int | None = None

    def __post_init__(self) -> None:
        special = sorted(set(self.special_ids) | ({self.mask_id} if self.mask_id is not None else set()))
        object.__setattr__(self, "special_ids", tuple(special))
        if not 1 <= self.size <= _MOST:
            raise ConfigError(f"a vocabulary has between 1 and {_MOST} ids, got {self.size}")
        if any(not 0 <= i < self.size for i in (*special, self.pad_id)):
            raise ConfigError(
                f"a vocabulary of {self.size} ids cannot have the special ids {special} and padding {self.pad_id}"
            )
        if self.filler_id is not None and (self.filler_id in special or not 0 <= self.filler_id < self.size):
            raise ConfigError(f"the filler id {self.filler_id} must be a writable id below {self.size}")
        if len(special) >= self.size:
            raise ConfigError("a vocabulary needs at least one id that can be written")

    def writable(self, device: torch.device | str | None = None) -> Tensor:
        """Bool [V]: the ids that a model may write, the filler included. Uniform noise draws from these only."""
        writable = torch.ones(self.size, dtype=torch.bool)
        writable[list(self.special_ids)] = False
        return writable.to(device) if device is not None else writable

    def forbidden(self, device: torch.device) -> Tensor:
        """Long [K]: the ids that are not writable. It is the same tensor each time: a copy to a GPU would wait for it."""
        return _forbidden(self.special_ids, str(device))

    @property
    def writable_count(self) -> int:
        """K, the number of writable ids."""
        return self.size - len(self.special_ids)


@functools.lru_cache(maxsize=64)
def _forbidden(ids: tuple[int, ...], device: str) -> Tensor:
    with torch.inference_mode(False):  # it may be used in training later
        return torch.tensor(ids, dtype=torch.long, device=device)
