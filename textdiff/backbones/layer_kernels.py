"""Two pieces of a layer as one GPU kernel each, for networks that are used and not trained. See `layers`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_SIZE = 1024
_LARGEST = 8192


def turned(x: Tensor, gains: tuple[Tensor, Tensor], table: tuple[Tensor, Tensor], eps: float) -> Tensor | None:
    """Queries and keys [B, L, 2, heads, size], normalised and turned: `rotate(rms_norm(x, gains), table)`.

    Args:
        x: its last three dimensions lie as those of a whole tensor do.
        gains: of queries and of keys, [size] each.
        table: of `rotary_table`, for L positions or for each of B L; whole tensors.
        eps: of the norm.

    Returns:
        A whole tensor, or None where heads are too many or too wide for one piece of work.
    """
    rows, length, _, heads, size = x.shape
    wide, tall = triton.next_power_of_2(size), triton.next_power_of_2(2 * heads)
    if wide * tall > _LARGEST:
        return None
    cos, sin = table
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if out.numel():
        with torch.cuda.device_of(x):  # Triton launches on the current device, wherever tensors are
            _turned_kernel[(rows * length,)](
                x, *gains, cos, sin, out, length, cos.numel() // size, *x.stride()[:2], heads, size, eps,
                TALL=tall, WIDE=wide,
            )  # fmt: skip
    return out


def gated(both: Tensor) -> Tensor:
    """value * silu(gate) of the two halves of [..., 2 F]: [..., F]."""
    both = both.contiguous()
    width = both.shape[-1] // 2
    out = torch.empty((*both.shape[:-1], width), dtype=both.dtype, device=both.device)
    if out.numel():
        with torch.cuda.device_of(both):
            _gated_kernel[(triton.cdiv(out.numel(), _SIZE),)](both, out, width, out.numel(), SIZE=_SIZE)
    return out


@triton.jit
def _turned_kernel(
    x, query_gain, key_gain, cos, sin, out, length, places, row_stride, place_stride, heads, size, eps,
    TALL: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, TALL)[:, None]
    column = tl.arange(0, WIDE)[None, :]
    inside = (head < 2 * heads) & (column < size)
    opposite = (column + size // 2) % size
    start = x + (place // length) * row_stride + (place % length) * place_stride + head * size
    here = tl.load(start + column, mask=inside, other=0).to(tl.float32)
    there = tl.load(start + opposite, mask=inside, other=0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(here * here, axis=1, keep_dims=True) / size + eps)
    queries, keys = inside & (head < heads), inside & (head >= heads)
    here *= tl.load(query_gain + column, mask=queries, other=0).to(tl.float32) + tl.load(
        key_gain + column, mask=keys, other=0
    ).to(tl.float32)
    there *= tl.load(query_gain + opposite, mask=queries, other=0).to(tl.float32) + tl.load(
        key_gain + opposite, mask=keys, other=0
    ).to(tl.float32)
    angle = (place % places) * size + column
    c = tl.load(cos + angle, mask=column < size, other=0).to(tl.float32)
    s = tl.load(sin + angle, mask=column < size, other=0).to(tl.float32)
    result = (here * c + there * s) * inverse
    tl.store(out + place * 2 * heads * size + head * size + column, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gated_kernel(both, out, width, count, SIZE: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = place < count
    start = both + (place // width) * 2 * width + place % width
    value = tl.load(start, mask=inside, other=0).to(tl.float32)
    gate = tl.load(start + width, mask=inside, other=0).to(tl.float32)
    result = value * gate * tl.sigmoid(gate)
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)
