"""The parts of our Transformer: rotary positions, attention, gated MLP, time embedding."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from textdiff.products import Linear, fast_products, has_faster_library


class _ScaledRMS(torch.autograd.Function):
    """x / rms(x) * gain with its own backward pass: autograd's takes twice as many passes over x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Any:
        with torch.autocast(x.device.type, enabled=False):  # on GPUs it makes norms, and so all that follows, float32
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            inverse = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
            normal = x * inverse
            ctx.save_for_backward(normal, inverse, gain)
            return normal * gain

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, inverse, gain = ctx.saved_tensors
        slope = grads[0] * normal
        along = (slope * gain).mean(-1, keepdim=True)
        inward = torch.addcmul(grads[0] * gain, normal, along, value=-1).mul_(inverse)
        return inward, slope.sum_to_size(gain.shape), None


def rms_norm(x: Tensor, gain: Tensor, eps: float = 1e-6) -> Tensor:
    """x [..., D] over its root mean square, times a gain that is broadcast to it. Source: arXiv 1910.07467."""
    gain = gain.to(x.dtype)  # under autocast x may have less precision than the weights
    if _has_kernel(x):
        with torch.autocast(x.device.type, enabled=False):
            if gain.ndim == 1:
                return functional.rms_norm(x, gain.shape, gain, eps)
            return functional.rms_norm(x, x.shape[-1:], None, eps) * gain
    normal: Tensor = _ScaledRMS.apply(x, gain, eps)  # type: ignore[no-untyped-call]
    return normal


def _has_kernel(x: Tensor) -> bool:
    """Whether torch has one kernel for the norm of x, and one for its gradient; for other devices it is made of pieces.

    Compiled layers are one piece anyway.
    """
    return x.is_cuda and not torch.compiler.is_compiling() and hasattr(torch.ops.aten, "_fused_rms_norm")


class ZeroLinear(Linear):
    """A linear layer that starts at zero, so that what it feeds starts as if it were absent."""


def rotary_table(
    length: int, size: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, 1, 1, size] of rotary positions, for `rotate`. Source: RoFormer, arXiv 2104.09864."""
    return _rotary_table(length, size, str(device), dtype)


@functools.lru_cache(maxsize=16)
def _rotary_table(length: int, size: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # Made outside inference mode: the cached tensors may be used in training later.
    with torch.inference_mode(False), torch.device(device):
        frequencies = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)[:, None, None]
        cos, sin = angles.cos().repeat(1, 1, 1, 2), torch.cat((-angles.sin(), angles.sin()), dim=-1)
        return cos.to(dtype), sin.to(dtype)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Applies rotary positions to x [B, L, ..., heads, size]: the first half of `size` is turned against the second."""
    cos, sin = (part.to(x.dtype) for part in table)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class Kernels(NamedTuple):
    """Those of `layer_kernels`."""

    turned: Callable[[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor], float], Tensor | None]
    gated: Callable[[Tensor], Tensor]


def _kernels_for(x: Tensor) -> Kernels | None:
    """Kernels for what a network does that is used and not trained, where there are any; they know no gradient."""
    if not x.is_cuda or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    return kernels_of_layers()


@functools.cache
def kernels_of_layers() -> Kernels | None:
    """Those of `layer_kernels`, if they work here and give the same but for rounding; else None."""
    try:
        from textdiff.backbones.layer_kernels import gated, turned

        x = torch.arange(-180.0, 180.0, device="cuda").view(2, 3, 3, 2, 10)[:, :, :2] / 90
        gains = x[0, 0, 0, 0] + 2, x[0, 0, 1, 1] - 3
        table = rotary_table(3, 10, x.device)
        expected = rotate(rms_norm(x, torch.stack(gains).unsqueeze(1)), table)
        found = turned(x, gains, table, 1e-6)
        same = found is not None and torch.allclose(found, expected, atol=1e-4)
        value, gate = x.chunk(2, dim=-1)
        same = same and torch.allclose(gated(x), value * functional.silu(gate), atol=1e-4)
        return Kernels(turned, gated) if same else None
    except Exception:  # no Triton, no compiler for it, or a GPU that it does not know: none of it is needed
        return None


class Attention(nn.Module):
    """Self-attention with normalised queries and keys, in both directions or only to what stands before."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.heads = heads
        self.qkv = Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = ZeroLinear(width, width, bias=False)

    def mix(self, x: Tensor, table: tuple[Tensor, Tensor], attendable: Tensor | None, dropout: float) -> Tensor:
        """Attends from every position to every attendable one. x [B, L, D] -> [B, L, D], before the output layer.

        Where `attendable` is None that is all, or for causal attention all up to the position itself.
        """
        parts = self._parts(x, table)
        if attendable is None and not self.causal and _best_whole(x, self.heads):
            return _mixed_whole(*(part.transpose(1, 2) for part in parts)).transpose(1, 2).flatten(-2)
        q, k, v = (_wide_on_cpu(part).transpose(1, 2) for part in parts)
        with torch.autocast(x.device.type, enabled=False):
            mixed = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=attendable, dropout_p=dropout, is_causal=self.causal and attendable is None
            )
        return mixed.to(parts[0].dtype).transpose(1, 2).flatten(-2)

    def mix_on(
        self, x: Tensor, table: tuple[Tensor, Tensor], kept: LayerCache, place: Place, attendable: Tensor | None
    ) -> Tensor:
        """Attends from some positions of some rows as `mix` does, to what is kept of others, and keeps their own part.

        Args:
            x: [R, k, D], what stands at the places.
            table: of rotary positions, for the places.
            kept: keys and values of all places of all rows.
            place: which those are.
            attendable: Bool [R, 1, k, seen], or None for all that are seen.
        """
        rows, places, seen = place
        q, k, v = self._parts(x, table)
        kept.keys[rows[:, None], places], kept.values[rows[:, None], places] = k, v
        q, k, v = (part.transpose(1, 2) for part in (q, kept.keys[rows, :seen], kept.values[rows, :seen]))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=attendable)
        return mixed.to(x.dtype).transpose(1, 2).flatten(-2)

    def _parts(self, x: Tensor, table: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, L, heads, size] of x [B, L, D]."""
        both, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).split((2, 1), dim=-3)
        # Queries and keys are normalised and turned as one tensor [B, L, 2, heads, size]: half as many calls.
        gains = self.query_norm.weight, self.key_norm.weight
        kernels = _kernels_for(both)
        turned = None if kernels is None else kernels.turned(both, gains, table, 1e-6)
        if turned is None:
            turned = rotate(rms_norm(both, torch.stack(gains).unsqueeze(1)), table)
        q, k = turned.unbind(-3)
        # A view of the values would keep all of qkv alive for a backward pass.
        return q, k, v.squeeze(-3) if kernels is not None else v.squeeze(-3).contiguous()


class Place(NamedTuple):
    """Where a network reads on: rows Long [R], the places Long [R, k] that are read, and how many are seen from the left."""

    rows: Tensor
    places: Tensor
    seen: int


class LayerCache(NamedTuple):
    """Keys and values of a layer, [B, L, heads, size] each."""

    keys: Tensor
    values: Tensor


def _wide_on_cpu(x: Tensor) -> Tensor:
    """On CPUs attention's backward pass is twice as slow in bfloat16."""
    return x.float() if x.device.type == "cpu" else x


def _best_whole(x: Tensor, heads: int) -> bool:
    """Whether attention over x [B, L, D] is faster with all weights at once: on a CPU with fast products for its precision.

    Only where no gradient is wanted, which would need all of them later, and where they are few.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    few = len(x) * heads * x.shape[1] ** 2 <= _WEIGHTS
    return few and (x.dtype == torch.bfloat16 or (x.dtype == torch.float32 and has_faster_library()))


_WEIGHTS = 1 << 24


def _mixed_whole(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention [B, heads, L, size] with all of its weights at once: twice as fast as torch's own in pieces.

    Queries and keys are normalised, so that the scores are small and bfloat16 does for them.
    """
    with fast_products(q, q.numel() * k.shape[-2]):
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1)
        mixed: Tensor = weights @ v
    return mixed


class _Gated(torch.autograd.Function):
    """value * silu(gate) of the two halves of its input, which is all that is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        value, gate = both.chunk(2, dim=-1)
        return functional.silu(gate).mul_(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        value, gate = both.chunk(2, dim=-1)
        inward = torch.empty_like(both)
        to_value, to_gate = inward.chunk(2, dim=-1)
        torch.mul(grads[0], functional.silu(gate), out=to_value)
        torch.ops.aten.silu_backward.grad_input(grads[0] * value, gate, grad_input=to_gate)
        return inward


class GatedMLP(nn.Module):
    """SwiGLU. Source: arXiv 2002.05202."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = Linear(width, 2 * hidden, bias=False)
        self.down = ZeroLinear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = self.up(x)
        if (
            torch.compiler.is_compiling()
        ):  # it fuses by itself, and compiled, what is written into a part of a tensor is lost
            value, gate = both.chunk(2, dim=-1)
            gated = value * functional.silu(gate)
        elif (kernels := _kernels_for(both)) is not None:
            gated = kernels.gated(both)
        else:
            gated = _Gated.apply(both)  # type: ignore[no-untyped-call]
        out: Tensor = self.down(gated)
        return out


class SinusoidalTime(nn.Module):
    """Sines and cosines of t, then two layers. t float [B] -> [B, D]. Source: arXiv 2006.11239, appendix B."""

    def __init__(self, width: int, features: int = 128) -> None:
        super().__init__()
        self.frequencies = features // 2
        self.layers = nn.Sequential(Linear(features, width), nn.SiLU(), Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        steps = torch.arange(self.frequencies, device=t.device) / self.frequencies
        frequencies = torch.exp(-math.log(10_000.0) * steps)
        angles = 1_000.0 * t.unsqueeze(-1).float() * frequencies
        waves = torch.cat((angles.sin(), angles.cos()), dim=-1)
        embedded: Tensor = self.layers(waves.to(self.layers[0].weight.dtype))  # type: ignore[arg-type]
        return embedded


class LearnedTime(nn.Module):
    """A learned vector at each of `knots` + 1 times, linear in between. t float [B] -> [B, D]."""

    def __init__(self, width: int, knots: int = 64) -> None:
        super().__init__()
        self.knots = knots
        self.table = nn.Embedding(knots + 1, width)

    def forward(self, t: Tensor) -> Tensor:
        position = t.float().clamp(0, 1) * self.knots
        left = position.floor().clamp(max=self.knots - 1).long()
        share = (position - left).unsqueeze(-1)
        embedded: Tensor = (1 - share) * self.table(left) + share * self.table(left + 1)
        return embedded.to(self.table.weight.dtype)
