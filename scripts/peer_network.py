"""MDLM's Transformer as its paper has it, over the weights of our own network: scores of all ids at all positions.

Written from MDLM (arXiv 2406.07524, appendix on the network: DiT with rotary positions and adaptive norms). Norms and
rotary positions are in single precision, as is usual for it; everything else is in the precision of the weights, or of
autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from textdiff.backbones import DiT
from textdiff.model import DiffusionModel

MINUS_INFINITY = -1_000_000.0


class PeerNetwork:
    """The network of a `DiffusionModel` with a `DiT`, called as peers call theirs."""

    def __init__(self, model: DiffusionModel, compiled: bool = False) -> None:
        """Over the weights of a model; with compiled blocks or without."""
        assert isinstance(model.backbone, DiT)
        self.net, self.mask_id = model.backbone, int(model.vocabulary.mask_id or 0)
        self.blocks = [PeerBlock(block) for block in self.net.blocks]
        if compiled:
            for block in self.blocks:
                block.compile()

    def log_p(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Log-probabilities of x_0, float32 [B, L, V], by the SUBS parameterisation: a token that stands is carried over."""
        scores = self.scores(x_t, t).float()
        scores[:, :, self.mask_id] += MINUS_INFINITY
        scores = scores - scores.logsumexp(-1, keepdim=True)
        unmasked = x_t != self.mask_id
        scores[unmasked] = MINUS_INFINITY
        scores[unmasked, x_t[unmasked]] = 0
        return scores

    def scores(self, x_t: Tensor, t: Tensor) -> Tensor:
        """[B, L, V]."""
        net = self.net
        x = net.embed(x_t)
        time = None if net.time is None else net.time(t)
        cos, sin = self._angles(x)
        for block in self.blocks:
            x = block(x, time, cos, sin)
        head = net.head
        assert head is not None
        return functional.linear(_modulated(net.norm, x, time), head.weight, net.head_bias)

    def _angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        size = self.net.config.hidden_size // self.net.config.num_attention_heads
        frequencies = 10_000.0 ** (-torch.arange(0, size, 2, device=x.device).float() / size)
        angles = torch.outer(torch.arange(x.shape[1], device=x.device).float(), frequencies)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()


class PeerBlock(nn.Module):
    """Attention and MLP over the weights of one of our blocks."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, time: Tensor | None, cos: Tensor, sin: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        block = self.block
        x = x + block.attention.out(self._mix(block.attention, _modulated(block.attention_norm, x, time), cos, sin))
        value, gate = block.mlp.up(_modulated(block.mlp_norm, x, time)).chunk(2, dim=-1)
        return x + block.mlp.down(value * functional.silu(gate))

    def _mix(self, attention: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        heads = attention.heads
        q, k, v = attention.qkv(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # type: ignore[operator]
        with torch.autocast(x.device.type, enabled=False):
            q, k = (
                functional.rms_norm(part.float(), part.shape[-1:], norm.weight.float(), 1e-6)  # type: ignore[union-attr, operator]
                for part, norm in ((q, attention.query_norm), (k, attention.key_norm))
            )
        q, k = (part * cos + _half_turned(part) * sin for part in (q, k))
        mixed = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return mixed.transpose(1, 2).flatten(-2)


def _modulated(layer: nn.Module, x: Tensor, time: Tensor | None) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        normal = functional.rms_norm(x.float(), (x.shape[-1],), layer.norm.weight.float(), 1e-6)  # type: ignore[union-attr, operator]
    normal = normal.to(x.dtype)
    if time is None:
        return normal
    scale, shift = layer.modulation(time)[:, None].chunk(2, dim=2)  # type: ignore[operator, index]
    return normal * (1 + scale) + shift


def _half_turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
