"""What all draws are made of, as one GPU kernel each. See `Draws`, whose numbers they are bit for bit, and `categorical`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_SIZE = 1024
_CHUNK = 8192


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


def categorical(weights: Tensor, uniform: Tensor) -> Tensor:
    """Long [N], one column of each row of weights [N, V] by inverting its cumulative distribution at a uniform, float64 [N].

    A column of weight zero is never taken, and from a row of NaN the first one is.
    """
    weights = weights.contiguous()
    rows, columns = weights.shape
    out = torch.empty(rows, dtype=torch.long, device=weights.device)
    if rows:
        chunk = min(_CHUNK, triton.next_power_of_2(columns))
        with torch.cuda.device_of(weights):
            _categorical_kernel[(rows,)](
                weights, uniform.double().contiguous(), out, columns, CHUNK=chunk, num_warps=max(1, chunk // 512)
            )
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


@triton.jit
def _categorical_kernel(weights, uniform, out, columns, CHUNK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    weights += row * columns
    place = tl.arange(0, CHUNK)
    total = tl.full((), 0, tl.float64)
    for begin in range(0, columns, CHUNK):
        total += tl.sum(tl.load(weights + begin + place, mask=begin + place < columns, other=0).to(tl.float64))
    target = tl.load(uniform + row) * total
    # The first chunk whose cumulative sum exceeds the target; the last one with weight if rounding leaves none.
    chosen = tl.full((), 0, tl.int32)
    before = tl.full((), 0, tl.float64)
    running = tl.full((), 0, tl.float64)
    for begin in range(0, columns, CHUNK):
        own = tl.sum(tl.load(weights + begin + place, mask=begin + place < columns, other=0).to(tl.float64))
        taken = (own > 0) & (running <= target)
        chosen = tl.where(taken, begin, chosen)
        before = tl.where(taken, running, before)
        running += own
    # And the same of the columns in it.
    inside = tl.load(weights + chosen + place, mask=chosen + place < columns, other=0).to(tl.float64)
    above = before + tl.cumsum(inside) > target
    first = tl.min(tl.where(above & (inside > 0), place, CHUNK))
    last = tl.max(tl.where(inside > 0, place, 0))
    tl.store(out + row, (chosen + tl.minimum(first, last)).to(tl.int64))
