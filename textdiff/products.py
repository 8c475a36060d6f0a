"""Large products of single precision on CPUs, by the faster of torch's two libraries.

torch gives them to MKL, which leaves the wide units of AMD's processors alone. oneDNN uses them and takes half the time, with
sums as exact: it is asked for by allowing it bfloat16, which it makes no use of on a processor without units for tiles.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LARGE = 1 << 25
"""Multiplications. oneDNN makes code for each new shape, some 0.4 ms, which smaller products would not bring in again."""

_PLAIN: ContextVar[bool] = ContextVar("plain_products", default=False)


class Linear(nn.Linear):
    """torch's linear layer, with `linear` as its product."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def use_fast_layers(network: nn.Module) -> None:
    """Makes `Linear` of the linear layers of a network that somebody else has written."""
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., D], weight [V, D] and bias [V] -> [..., V], with the gradients of torch's function of this name."""
    if x.dtype != torch.float32 or not _is_faster_here(x, x.numel() * len(weight)):
        return functional.linear(x, weight, bias)
    if torch.is_grad_enabled():
        out: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out
    return _product(x, weight, bias)


@contextmanager
def fast_products(x: Tensor, multiplications: int) -> Iterator[None]:
    """Inside the `with` products in single precision on the device of x take the faster way, if there are so many to do."""
    if _is_faster_here(x, multiplications):
        with _by_onednn():
            yield
    else:
        yield


@contextmanager
def plain_products() -> Iterator[None]:
    """Inside the `with` all products are torch's own choice: for comparisons."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


class _Linear(torch.autograd.Function):
    """A linear layer whose three products are all done the faster way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), wanted = ctx.saved_tensors, ctx.needs_input_grad
        slope = grads[0].flatten(0, -2)
        with _by_onednn():
            inward = (slope @ weight).view_as(x) if wanted[0] else None
            own = slope.T @ x.flatten(0, -2) if wanted[1] else None
        return inward, own, slope.sum(0) if wanted[2] else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    with _by_onednn():
        out = functional.linear(x, weight)
    return out if bias is None else out.add_(bias)  # that it adds to copies of the bias itself takes longer


def _is_faster_here(x: Tensor, multiplications: int) -> bool:
    return (
        multiplications >= _LARGE
        and x.device.type == "cpu"
        and not (_PLAIN.get() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling())
        and has_faster_library()
    )


@functools.cache
def has_faster_library() -> bool:
    """Whether oneDNN is faster here than what torch takes, and gives the same but for rounding.

    Which is faster is known of the processor and not measured: another choice in another run would be other sums.
    """
    if _vendor() != "AuthenticAMD" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        draws = torch.Generator().manual_seed(0)
        a, b = (torch.randn(shape, generator=draws) for shape in ((96, 2_048), (2_048, 160)))
        with _by_onednn():
            found = a @ b
        return bool((found - a.double() @ b.double()).abs().max() < 1e-3)  # in bfloat16 it is 0.3
    except (AttributeError, RuntimeError):  # torch before 2.9, or built without it
        return False


def _vendor() -> str:
    """What the processor says of its maker."""
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        about = platform.processor()  # on Windows
    return "AuthenticAMD" if "AuthenticAMD" in about else about


@contextmanager
def _by_onednn() -> Iterator[None]:
    library: Any = torch.backends.mkldnn
    settings = library.matmul
    before, settings.fp32_precision = settings.fp32_precision, "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before
