"""The two functions that all draws are made of, as one GPU kernel each. See `Draws`, whose numbers they are bit for bit."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_SIZE = 1024


def mix(z: Tensor) -> Tensor:
    """SplitMix64's mixing function of Long tensors of any shape."""
    z = z.contiguous()
    out = torch.empty_like(z)
    if z.numel():
        with torch.cuda.device_of(z):  # Triton launches on the current device, wherever tensors are
            _mix_kernel[(triton.cdiv(z.numel(), _SIZE),)](z, out, z.numel(), SIZE=_SIZE)
    return out


def uniform(keys: Tensor, columns: int) -> Tensor:
    """Float64 [B, columns] on (0, 1), from keys Long [B]."""
    out = torch.empty(len(keys), columns, dtype=torch.float64, device=keys.device)
    if out.numel():
        grid = (triton.cdiv(out.numel(), _SIZE),)
        with torch.cuda.device_of(out):
            _uniform_kernel[grid](keys.contiguous(), out, columns, out.numel(), SIZE=_SIZE)
    return out


@triton.jit
def _mixed(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)


@triton.jit
def _mix_kernel(z, out, count, SIZE: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = place < count
    mixed = _mixed(tl.load(z + place, mask=inside, other=0).to(tl.uint64))
    tl.store(out + place, mixed.to(tl.int64), mask=inside)


@triton.jit
def _uniform_kernel(keys, out, columns, count, SIZE: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = place < count
    key = tl.load(keys + place // columns, mask=inside, other=0).to(tl.uint64)
    counter = (place % columns + 1).to(tl.uint64) * 0x9E3779B97F4A7C15
    bits = (_mixed(_mixed(key + counter)) >> 11).to(tl.int64)
    # 2^-53 and 2^-54: the middles of 2^53 equal parts of the interval
    tl.store(out + place, bits.to(tl.float64) * 1.1102230246251565e-16 + 5.551115123125783e-17, mask=inside)
