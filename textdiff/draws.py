"""Every random draw: counter-based, so that a row's draws depend on nothing but its own seed.

A `Draws` holds one 64-bit key per row. `fold` derives an independent stream, `uniform` hashes (key, column). There is no
state: the same key gives the same numbers in any batch, any order, on any device, with any number of processes.

Source: the mixing function is SplitMix64's (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_TAG = 0xD1B54A32D192ED03
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1
_BLOCK = 64


def _signed(value: int) -> int:
    """The int64 with the same low 64 bits."""
    value &= _ALL
    return value - (1 << 64) if value >> 63 else value


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own keeps the sign)."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    if z.is_cuda and (kernels := kernels_of_draws()) is not None:
        return kernels.mix(z)
    return _mixed(z)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _signed(_FIRST)
    z = (z ^ _shift(z, 27)) * _signed(_SECOND)
    return z ^ _shift(z, 31)


def _mixed_number(z: int) -> int:
    """The same of a Python integer, from 0 to 2^64 - 1."""
    z &= _ALL
    z = ((z ^ z >> 30) * _FIRST) & _ALL
    z = ((z ^ z >> 27) * _SECOND) & _ALL
    return z ^ z >> 31


def _uniform(keys: Tensor, columns: int) -> Tensor:
    return _numbers(keys.unsqueeze(-1) + torch.arange(1, columns + 1, device=keys.device) * _signed(_GOLDEN))


def _numbers(counter: Tensor) -> Tensor:
    """Float64, uniform on (0, 1), one for each value of a counter."""
    bits = _shift(_mixed(_mixed(counter)), 11)
    return bits.to(torch.float64) * 2.0**-53 + 2.0**-54


class Kernels(NamedTuple):
    """`_mixed`, `_uniform` and `categorical` as one piece of work each."""

    mix: Callable[[Tensor], Tensor]
    uniform: Callable[[Tensor, int], Tensor]
    categorical: Callable[[Tensor, Tensor], Tensor]


@functools.cache
def kernels_of_draws() -> Kernels | None:
    """Those of `draw_kernels`, if they work here and give the same numbers; else None.

    What is a dozen small pieces of work to torch is one kernel there; a GPU waits for each piece to be asked for.
    """
    try:
        from textdiff.draw_kernels import categorical, mix, uniform

        keys = torch.tensor([0, -1, _signed(_GOLDEN)], device="cuda")
        numbers = _uniform(keys, 5)
        same = torch.equal(mix(keys), _mixed(keys)) and torch.equal(uniform(keys, 5), numbers)
        same = same and torch.equal(categorical(numbers, numbers[:, 0]), _categorical(numbers, numbers[:, 0]))
        return Kernels(mix, uniform, categorical) if same else None
    except Exception:  # no Triton, no compiler for it, or a GPU that it does not know: none of it is needed
        return None


@dataclass(frozen=True)
class Draws:
    """A stream of random numbers for each row of a batch. keys: Long [B]."""

    keys: Tensor

    @staticmethod
    def seeded(seeds: Tensor | Sequence[int] | int, device: torch.device | str | None = None) -> Draws:
        """Streams from seeds, one a row; any Python integers, or a Long tensor [B]."""
        if isinstance(seeds, Tensor):
            keys = seeds.to(device=device, dtype=torch.long)
        else:
            listed = [seeds] if isinstance(seeds, int) else list(seeds)
            keys = torch.tensor([_signed(s) for s in listed], dtype=torch.long, device=device)
        return Draws(_mix(keys + _signed(_GOLDEN)))

    def fold(self, *tags: int | Tensor) -> Draws:
        """An independent stream per row for these tags (each an integer, or Long [B])."""
        keys = self.keys
        for tag in tags:
            if isinstance(tag, Tensor):
                keys = _mix(keys ^ _mix(tag.to(keys) * _signed(_GOLDEN) + _signed(_TAG)))
            else:
                keys = _mix(keys ^ _signed(_mixed_number(tag * _GOLDEN + _TAG)))
        return Draws(keys)

    def rows(self, index: Tensor) -> Draws:
        """The streams of some of the rows (Long or Bool index)."""
        return Draws(self.keys[index])

    def uniform(self, columns: int = 1) -> Tensor:
        """Float64 [B, columns], uniform on the open interval (0, 1), with 53 random bits each."""
        if self.keys.is_cuda and (kernels := kernels_of_draws()) is not None:
            return kernels.uniform(self.keys, columns)
        return _uniform(self.keys, columns)

    def uniform_at(self, row: Tensor, column: Tensor, columns: int) -> Tensor:
        """What `uniform(columns)` has at these places, float64 [N] for Long [N] each. On a CPU no others are drawn."""
        if self.keys.is_cuda:
            return self.uniform(columns)[row, column]
        return _numbers(self.keys[row] + (column + 1) * _signed(_GOLDEN))

    def seeds(self) -> Tensor:
        """Long [B]: fresh seeds, for a batch made from this one."""
        return self.fold(0x5EED).keys


def categorical(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draws one index a row by inverting the cumulative distribution in float64, in two levels.

    Blocks of 64 weights are summed first, then only the chosen block is searched: one uniform a row and one pass over V,
    and none of the bias that a float32 Gumbel or a float32 cumulative sum has at large V.

    Args:
        weights: [N, V], non-negative, each row with a positive finite sum; need not be normalised.
        uniform: float64 [N] in (0, 1).

    Returns:
        Long [N]; an index of weight zero is never returned.
    """
    if weights.is_cuda and (kernels := kernels_of_draws()) is not None:
        return kernels.categorical(weights, uniform)
    return _categorical(weights, uniform)


def _categorical(weights: Tensor, uniform: Tensor) -> Tensor:
    count = weights.shape[-1]
    whole = count - count % _BLOCK
    # Inside a block single precision is exact to 1e-6, and much faster; only sums over all of V lose small weights.
    dtype = torch.promote_types(weights.dtype, torch.float32)
    sums = torch.unflatten(weights[:, :whole], -1, (whole // _BLOCK, _BLOCK)).sum(-1, dtype=dtype)
    if whole < count:
        sums = torch.cat((sums, weights[:, whole:].sum(-1, dtype=dtype, keepdim=True)), dim=-1)
    sums = sums.to(torch.float64).cumsum(-1)
    target = uniform.to(torch.float64).unsqueeze(-1) * sums[:, -1:]
    block = _first_above(sums, target)
    before = torch.where(block > 0, sums.gather(-1, (block - 1).clamp(min=0)), 0.0)
    places = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
    inside = weights.gather(-1, places.clamp(max=count - 1)).to(torch.float64).masked_fill(places >= count, 0)
    return (block * _BLOCK + _first_above(inside.cumsum(-1), (target - before).clamp(min=0))).squeeze(-1)


def _first_above(cumulative: Tensor, target: Tensor) -> Tensor:
    """[N, 1]: the first column whose cumulative sum exceeds the target; the last one with weight if rounding left none."""
    # Counted and not searched for: so NaN gives a column, too, and no access outside of the tensor.
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)
    return torch.minimum((cumulative <= target).sum(-1, keepdim=True), last)
