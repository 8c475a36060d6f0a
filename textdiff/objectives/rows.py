"""Sums over rows of scores [N, V] that are never all alive.

The gradient of each chunk of rows is made where its scores are, in the forward pass: what is kept is [N, D] and [V, D].
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.products import fast_products

_CHUNK = 1 << 25
"""Bytes of a chunk's scores: little beside the network, and so many rows that the weight's gradient is added up cheaply."""

_IDS = 4096
_PIECE = 1 << 22
"""Bytes of scores in single precision that stay in a CPU's cache while several passes go over them."""

_ALIGNED = 64  # ids
_LEAST = 64  # rows of a chunk, however many ids there are


class RowCost(Protocol):
    """What some rows cost, and how that changes with their scores."""

    def __call__(self, raw: Tensor, rows: slice, slope: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """The cost of a chunk.

        Args:
            raw: [n, V], what the output layer gave; may be overwritten.
            rows: which of the N these are.
            slope: whether the last result is wanted.

        Returns:
            The loss of each row [n], its nats [n], and the gradient of the summed loss with respect to `raw`.
        """


def sum_over_rows(readout: Readout, cost: RowCost) -> tuple[Tensor, Tensor]:
    """The summed loss, with its gradient, and the summed nats of all N rows."""
    loss, nats = _SumOverRows.apply(  # type: ignore[no-untyped-call]
        readout.hidden, readout.weight, readout.bias, cost, torch.is_grad_enabled()
    )
    return loss, nats


class _SumOverRows(torch.autograd.Function):
    """Linear layer, cost and sum as one function of (hidden, weight, bias)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor | None, bias: Tensor | None, cost: RowCost, slope: bool
    ) -> tuple[Tensor, Tensor]:
        kind = hidden.device.type
        fast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        width = hidden.shape[-1] if weight is None else len(weight)
        with torch.autocast(kind, enabled=False), fast_products(hidden, hidden.numel() * width):
            return _forward(ctx, hidden, weight, bias, cost, slope, fast)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.made = ctx.made, ()  # held here, too, they would be copied
        return *(None if made is None else made.mul_(grads[0].to(made.dtype)) for made in gradients), None, None


def _forward(
    ctx: Any,
    hidden: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    cost: RowCost,
    slope: bool,
    fast: torch.dtype,
) -> tuple[Tensor, Tensor]:
    losses, bounds = ([hidden.new_zeros(0, dtype=torch.float64)] for _ in range(2))
    inward = torch.empty_like(hidden)
    layer = None if weight is None else _OutputLayer(weight, bias, fast)
    width = hidden.shape[-1] if weight is None else len(weight)
    for rows in chunks_of_rows(len(hidden), width * fast.itemsize, hidden.device):
        raw = hidden[rows].clone() if layer is None else layer.scores(hidden[rows])
        loss, bound, change = cost(raw, rows, slope)
        losses.append(loss)
        bounds.append(bound)
        if change is not None:
            inward[rows] = change if layer is None else layer.pull(change, hidden[rows])
    ctx.made = (None, None, None)
    if slope:
        ctx.made = (inward, *((None, None) if layer is None else layer.grads(weight, bias)))
    total, nats = (torch.cat(parts).sum(dtype=torch.float64) for parts in (losses, bounds))
    ctx.mark_non_differentiable(nats)
    return total.to(torch.float32), nats


def chunks_of_rows(count: int, row_bytes: int, device: torch.device) -> Iterator[slice]:
    """Cuts so many rows of scores into parts, nearly alike, of a size that suits the device."""
    parts = -(-count // max(_LEAST, _chunk(device) // row_bytes))
    size = max(1, -(-count // max(1, parts)))
    return (slice(start, start + size) for start in range(0, count, size))


def _chunk(device: torch.device) -> int:
    return _CHUNK if device.type == "cpu" else 8 * _CHUNK  # smaller products would not fill a GPU


class _OutputLayer:
    """A linear layer in the precision of its products, and the gradients of its weight and bias, added up."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.weight = _cast("weight", weight.detach(), dtype)
        self._stride = _stride(len(weight), dtype, weight.device)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.weight_grad: Tensor | None = None
        self.bias_grad: Tensor | None = None

    def scores(self, hidden: Tensor) -> Tensor:
        """[n, D] -> [n, V]."""
        raw = self._wide("raw", len(hidden))
        inputs = hidden.detach().to(self.weight.dtype)
        for ids in self._blocks():
            torch.mm(inputs, self.weight[ids].T, out=raw[:, ids])
        return raw if self.bias is None else raw.add_(self.bias)

    def pull(self, change: Tensor, hidden: Tensor) -> Tensor:
        """The gradient [n, D] that a gradient [n, V] of the scores makes; those of the layer are noted."""
        inputs = hidden.detach().to(self.weight.dtype)
        if change.dtype != self.weight.dtype:
            change = self._wide("change", len(change)).copy_(change)
        first = self.weight_grad is None
        if self.weight_grad is None or self.bias_grad is None:
            self.weight_grad = torch.empty_like(self.weight, dtype=torch.float32)
            self.bias_grad = self.weight_grad.new_zeros(len(self.weight))
        for ids in self._blocks():
            self.bias_grad[ids] += change[:, ids].sum(0, dtype=torch.float32)
            self._add(change[:, ids].T, inputs, self.weight_grad[ids], first)
        return change @ self.weight

    def _add(self, left: Tensor, right: Tensor, to: Tensor, first: bool) -> None:
        """Adds a product to a sum in single precision, or begins the sum with it."""
        if right.dtype == torch.float32:
            torch.mm(left, right, out=to) if first else to.addmm_(left, right)
            return
        product = torch.mm(left, right, out=buffer("product", to.shape, right.dtype, to.device))
        # On CPUs a sum of two precisions is ten times slower than a cast and a sum.
        to.copy_(product) if first else to.add_(product.float() if to.device.type == "cpu" else product)

    def _blocks(self) -> Iterator[slice]:
        """Cuts the ids for products with a long matrix: on a CPU what such a product gives is then still in its cache."""
        step = _IDS if self.weight.device.type == "cpu" else max(1, len(self.weight))
        return (slice(start, start + step) for start in range(0, len(self.weight), step))

    def _wide(self, name: str, rows: int) -> Tensor:
        """Memory for [n, V] in the precision of the products."""
        whole = buffer(name, (rows, self._stride), self.weight.dtype, self.weight.device)
        return whole[:, : len(self.weight)]

    def grads(self, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """In the precision of the parameters; zeros where there was no row."""
        made = []
        for of, grad in ((weight, self.weight_grad), (bias, self.bias_grad)):
            made.append(None if of is None else torch.zeros_like(of) if grad is None else grad.to(of.dtype))
        return made[0], made[1]


class CrossEntropyCost:
    """A multiple of -log softmax(raw) at the target: the gradient in closed form, every pass over [n, V] counted.

    Args:
        target: Long [N].
        forbidden: Long [K], ids without probability, or None.
        loss_weight, nats_weight: float [N], what the cross-entropy counts for in the loss and in the bound.
    """

    def __init__(self, target: Tensor, forbidden: Tensor | None, loss_weight: Tensor, nats_weight: Tensor) -> None:
        self.target, self.forbidden = target, forbidden
        self.loss_weight, self.nats_weight = loss_weight, nats_weight

    def __call__(self, raw: Tensor, rows: slice, slope: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        if self.forbidden is not None:
            raw.index_fill_(-1, self.forbidden, -torch.inf)
        target, weight = self.target[rows], self.loss_weight[rows].float()
        kernel = kernel_of_cross_entropy() if raw.is_cuda else None
        surprise, change = (kernel or cross_entropy)(raw, target, weight, slope)
        return surprise * self.loss_weight[rows], surprise * self.nats_weight[rows], change


CrossEntropy = Callable[[Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor | None]]


def cross_entropy(scores: Tensor, target: Tensor, weight: Tensor, slope: bool) -> tuple[Tensor, Tensor | None]:
    """-log softmax(scores) at the target [n], and with `slope` the gradient of weight * that, in the place of the scores.

    Args:
        scores: [n, V].
        target: Long [n].
        weight: float32 [n].
        slope: whether the gradient is wanted.
    """
    count = max(1, _PIECE // (4 * scores.shape[1]) if scores.device.type == "cpu" else len(scores))
    pieces = [slice(start, start + count) for start in range(0, max(1, len(scores)), count)]
    surprise = [_cross_entropy_of_piece(scores[piece], target[piece], weight[piece], slope) for piece in pieces]
    return torch.cat(surprise), scores if slope else None


def _cross_entropy_of_piece(scores: Tensor, target: Tensor, weight: Tensor, slope: bool) -> Tensor:
    target, logits = target.unsqueeze(-1), scores
    if scores.dtype != torch.float32:
        logits = buffer("logits", scores.shape, torch.float32, scores.device).copy_(scores)
    top, here = logits.amax(-1), logits.gather(-1, target).squeeze(-1)
    share = torch.softmax(logits, -1, out=buffer("share", scores.shape, torch.float32, scores.device))
    # log of the sum of exponentials, from the largest score and its share: no further pass.
    surprise = top - share.amax(-1).log() - here
    if slope:
        share.scatter_add_(-1, target, torch.full_like(share[:, :1], -1.0))
        scores.copy_(share.mul_(weight.unsqueeze(-1)))
    return surprise


@functools.cache
def kernel_of_cross_entropy() -> CrossEntropy | None:
    """`cross_entropy` as one kernel, if that works here and gives the same; else None.

    What are a dozen passes over scores in single precision to torch, are two over what the output layer gave.
    """
    try:
        from textdiff.objectives.cross_entropy_kernel import cross_entropy as kernel

        scores = torch.linspace(-9, 9, 30_000, device="cuda").view(3, -1)
        scores[:, 5] = -torch.inf
        target, weight = torch.tensor([0, 7, 9_999], device="cuda"), torch.tensor([0.5, 1, 2], device="cuda")
        expected = cross_entropy(scores.clone(), target, weight, True)
        pairs = zip(kernel(scores, target, weight, True), expected, strict=True)
        same = all(a is not None and b is not None and torch.allclose(a, b, 1e-4, 1e-6) for a, b in pairs)
        return kernel if same else None
    except Exception:  # no Triton, no compiler for it, or a GPU that it does not know: none of it is needed
        return None


class AnyCost:
    """What any function of leave-one-out log-probabilities costs, its gradient by autograd."""

    def __init__(self, readout: Readout, cost: Callable[[Tensor, slice], tuple[Tensor, Tensor]]) -> None:
        self.readout, self.cost = readout, cost

    def __call__(self, raw: Tensor, rows: slice, slope: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        with torch.set_grad_enabled(slope):
            raw = raw.detach().requires_grad_(slope)
            loss, nats = self.cost(self.readout.finish(raw, rows).log_softmax(-1), rows)
            change = torch.autograd.grad(loss.sum(), raw)[0] if slope else None
        return loss.detach(), nats.detach(), change


def _stride(width: int, dtype: torch.dtype, device: torch.device) -> int:
    """How far apart rows of scores lie. On GPUs half precision has its fast products only where rows begin at 16 bytes."""
    if device.type == "cpu" or dtype.itemsize > 2:
        return width
    return -(-width // _ALIGNED) * _ALIGNED


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix in another precision, for as long as nothing else of this name is asked for."""
    if tensor.dtype == dtype:
        return tensor
    return buffer(name, tensor.shape, dtype, tensor.device).copy_(tensor)


def buffer(name: str, shape: tuple[int, ...] | torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory for a matrix that nobody needs any more when the next one of this name is made.

    On a CPU it is used again: the system gives large pieces of memory page by page, which costs as much as a pass.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    count = math.prod(shape)
    return _memory(name, max(count, _chunk(device) // dtype.itemsize), dtype)[:count].view(shape)


@functools.lru_cache(maxsize=12)
def _memory(name: str, count: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.empty(count, dtype=dtype)
