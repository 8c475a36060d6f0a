"""The parts of our Transformer: rotary positions, attention, gated MLP, time embedding."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.RMSNorm):
    """RMS norm whose weight takes the input's precision: under autocast torch's own has no fused form."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class ZeroLinear(nn.Linear):
    """A linear layer that starts at zero, so that what it feeds starts as if it were absent."""


def rotary_table(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, size / 2] of rotary positions. Source: RoFormer, arXiv 2104.09864."""
    return _rotary_table(length, size, str(device))


@functools.lru_cache(maxsize=16)
def _rotary_table(length: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    # Made outside inference mode: the cached tensors may be used in training later.
    with torch.inference_mode(False), torch.device(device):
        frequencies = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Applies rotary positions to x [B, heads, L, size]."""
    cos, sin = (part.to(x.dtype) for part in table)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    """Bidirectional self-attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = RMSNorm(width // heads, eps=1e-6)
        self.key_norm = RMSNorm(width // heads, eps=1e-6)
        self.out = ZeroLinear(width, width, bias=False)

    def mix(self, x: Tensor, table: tuple[Tensor, Tensor], attendable: Tensor | None, dropout: float) -> Tensor:
        """Attends from every position to every attendable one. x [B, L, D] -> [B, L, D], before the output layer."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.query_norm(q).to(v.dtype), table), rotate(self.key_norm(k).to(v.dtype), table)
        mixed: Tensor = functional.scaled_dot_product_attention(q, k, v, attn_mask=attendable, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(-2)


class GatedMLP(nn.Module):
    """SwiGLU. Source: arXiv 2002.05202."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = ZeroLinear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        out: Tensor = self.down(value * functional.silu(gate))
        return out


class SinusoidalTime(nn.Module):
    """Sines and cosines of t, then two layers. t float [B] -> [B, D]. Source: arXiv 2006.11239, appendix B."""

    def __init__(self, width: int, features: int = 128) -> None:
        super().__init__()
        self.frequencies = features // 2
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        steps = torch.arange(self.frequencies, device=t.device) / self.frequencies
        frequencies = torch.exp(-math.log(10_000.0) * steps)
        angles = 1_000.0 * t.unsqueeze(-1).float() * frequencies
        embedded: Tensor = self.layers(torch.cat((angles.sin(), angles.cos()), dim=-1))
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
        return embedded
