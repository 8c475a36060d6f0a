"""The cross-entropy of rows of scores and its gradient, as one GPU kernel. See `CrossEntropyCost`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_SIZE, _WARPS = 8_192, 16
_LOWEST = -3.0e38


def cross_entropy(scores: Tensor, target: Tensor, weight: Tensor, slope: bool) -> tuple[Tensor, Tensor | None]:
    """As the function of this name in `rows`; the gradient takes the place of the scores.

    Args:
        scores: [n, V], each row in one piece.
        target: Long [n].
        weight: float32 [n].
        slope: whether the gradient is wanted.
    """
    surprise = torch.empty(len(scores), dtype=torch.float32, device=scores.device)
    if len(scores):
        with torch.cuda.device_of(scores):  # Triton launches on the current device, wherever tensors are
            _cross_entropy_kernel[(len(scores),)](
                scores,
                scores.stride(0),
                target,
                weight,
                surprise,
                scores.shape[1],
                slope,
                _LOWEST,
                _SIZE,
                num_warps=_WARPS,
            )
    return surprise, scores if slope else None


@triton.jit
def _cross_entropy_kernel(
    scores,
    stride,
    target,
    weight,
    surprise,
    WIDTH: tl.constexpr,
    SLOPE: tl.constexpr,
    LOWEST: tl.constexpr,
    SIZE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    scores += row * stride
    wanted = tl.load(target + row)
    here = tl.load(scores + wanted).to(tl.float32)
    top, total = tl.full((), LOWEST, tl.float32), tl.full((), 0.0, tl.float32)
    for start in range(0, WIDTH, SIZE):
        column = start + tl.arange(0, SIZE)
        score = tl.load(scores + column, mask=column < WIDTH, other=-float("inf")).to(tl.float32)
        higher = tl.maximum(top, tl.max(score))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(score - higher))
        top = higher
    tl.store(surprise + row, top + tl.log(total) - here)
    if SLOPE:
        scale, share = tl.load(weight + row), 1.0 / total
        for start in range(0, WIDTH, SIZE):
            column = start + tl.arange(0, SIZE)
            score = tl.load(scores + column, mask=column < WIDTH, other=-float("inf")).to(tl.float32)
            change = (tl.exp(score - top) * share - (column == wanted).to(tl.float32)) * scale
            tl.store(scores + column, change.to(scores.dtype.element_ty), mask=column < WIDTH)
