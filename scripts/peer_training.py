"""A training step as peers do it, over the weights of our own networks, so that both do the same work.

Written from the papers: MDLM (arXiv 2406.07524, section 3.2 and its SUBS parameterisation) and the Hugging Face way of
training a masked language model by diffusion (LLaDA, arXiv 2502.09992, algorithm 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from textdiff.backbones import DiT
from textdiff.model import DiffusionModel

_MINUS_INFINITY = -1_000_000.0


class PeerDiT:
    """MDLM: scores of all ids at all positions, edited into log-probabilities; plain AdamW; EMA parameter by parameter."""

    name = "mdlm"

    def __init__(self, model: DiffusionModel) -> None:
        assert isinstance(model.backbone, DiT)
        self.net, self.mask_id = model.backbone, int(model.vocabulary.mask_id or 0)
        self.parameters = list(model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    def loss(self, x_0: Tensor, x_t: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        log_p = self._subs(self._scores(x_t, t).float(), x_t)
        surprise = -log_p.gather(-1, x_0[:, :, None]).squeeze(-1)
        return (surprise * weight[:, None]).sum() / x_0.numel()

    def _subs(self, scores: Tensor, x_t: Tensor) -> Tensor:
        scores[:, :, self.mask_id] += _MINUS_INFINITY
        scores = scores - scores.logsumexp(-1, keepdim=True)
        unmasked = x_t != self.mask_id
        scores[unmasked] = _MINUS_INFINITY
        scores[unmasked, x_t[unmasked]] = 0
        return scores

    def _scores(self, x_t: Tensor, t: Tensor) -> Tensor:
        net = self.net
        x = net.embed(x_t)
        assert net.time is not None
        time = net.time(t)
        cos, sin = self._angles(x)
        for block in net.blocks:
            x = x + block.attention.out(
                self._mix(block.attention, self._modulated(block.attention_norm, x, time), cos, sin)
            )
            value, gate = block.mlp.up(self._modulated(block.mlp_norm, x, time)).chunk(2, dim=-1)
            x = x + block.mlp.down(value * functional.silu(gate))
        head = net.head
        assert head is not None
        return functional.linear(self._modulated(net.norm, x, time), head.weight, net.head_bias)

    def _modulated(self, layer: nn.Module, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = layer.modulation(time)[:, None].chunk(2, dim=2)  # type: ignore[operator, index]
        with torch.autocast("cpu", enabled=False):
            x = functional.rms_norm(x.float(), (x.shape[-1],), layer.norm.weight, 1e-6)  # type: ignore[union-attr, arg-type]
        return x * (1 + scale) + shift

    def _mix(self, attention: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        heads = attention.heads
        q, k, v = attention.qkv(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # type: ignore[operator]
        with torch.autocast("cpu", enabled=False):
            q, k = attention.query_norm(q.float()), attention.key_norm(k.float())  # type: ignore[operator]
        q, k = (part * cos + _half_turned(part) * sin for part in (q, k))
        mixed = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return mixed.transpose(1, 2).flatten(-2)

    def _angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        size = self.net.config.hidden_size // self.net.config.num_attention_heads
        frequencies = 10_000.0 ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(x.shape[1]).float(), frequencies)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()

    def optimizer(self) -> Optimizer:
        return torch.optim.AdamW(self.parameters, lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)

    @torch.no_grad()
    def after_step(self) -> None:
        for average, parameter in zip(self.average, self.parameters, strict=True):
            average.sub_((1 - 0.9999) * (average - parameter))


def _half_turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class PeerBert:
    """A Hugging Face masked language model under its trainer: scores of all ids at all positions, unreduced cross-entropy.

    The fused AdamW is the trainer's default; there is no average of the weights.
    """

    name = "dllm"

    def __init__(self, model: DiffusionModel) -> None:
        self.net, self.mask_id = model.backbone.network, int(model.vocabulary.mask_id or 0)
        self.parameters = list(model.parameters())

    def loss(self, x_0: Tensor, x_t: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        scores = self.net(input_ids=x_t, attention_mask=torch.ones_like(x_t)).logits
        forbidden = torch.zeros(scores.shape[-1])
        forbidden[self.mask_id] = -torch.inf
        surprise = functional.cross_entropy((scores + forbidden).transpose(1, 2), x_0, reduction="none")
        masked = x_t == self.mask_id
        return (surprise * weight[:, None] * masked).sum() / x_0.numel()

    def optimizer(self) -> Optimizer:
        return torch.optim.AdamW(self.parameters, lr=3e-4, fused=True)

    def after_step(self) -> None:
        """Nothing follows the optimizer."""
