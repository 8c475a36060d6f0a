"""A layer of our Transformer: attention and MLP behind norms that may know the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from textdiff.backbones.layers import Attention, GatedMLP, LayerCache, Place, ZeroLinear, rms_norm
from textdiff.packed import places_of, take

if TYPE_CHECKING:
    from textdiff.backbones.dit import DiTConfig


class AdaptiveNorm(nn.Module):
    """RMS norm, scaled and shifted by the time embedding where there is one."""

    def __init__(self, width: int, adaptive: bool) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.modulation = ZeroLinear(width, 2 * width) if adaptive else None

    def forward(self, x: Tensor, time: Tensor | None) -> Tensor:
        """x [..., D] and time broadcastable to it, or None."""
        if self.modulation is None:
            return rms_norm(x, self.norm.weight)
        scale, shift = self.modulation(time).chunk(2, dim=-1)
        return torch.add(rms_norm(x, self.norm.weight * (1 + scale)), shift)


class Block(nn.Module):
    """Attention and MLP, each behind a norm and a residual connection."""

    def __init__(self, config: DiTConfig, causal: bool = False) -> None:
        super().__init__()
        width, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        self.attention_norm = AdaptiveNorm(width, config.adaptive)
        self.attention = Attention(width, config.num_attention_heads, causal)
        self.mlp_norm = AdaptiveNorm(width, config.adaptive)
        self.mlp = GatedMLP(width, -(-hidden // 32) * 32)
        self.dropout = nn.Dropout(config.dropout)
        self.rate = config.dropout
        self.gradient_checkpointing = False
        self.compiled: Callable[..., Tensor] | None = None

    def forward(
        self,
        x: Tensor,
        time: Tensor | None,
        table: tuple[Tensor, Tensor],
        attendable: Tensor | None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """x [B, L, D] -> [B, L, D], or [N, D] for the wanted `places`: all that follows the mixing runs on those only."""
        run = self._forward if self.compiled is None or not self.training else self.compiled
        if run is self.compiled and wanted is not None:
            # They are as many as are noisy: compiled once, not for a number.
            torch._dynamo.maybe_mark_dynamic(wanted, 0)
        if not (self.gradient_checkpointing and self.training):
            return run(x, time, table, attendable, wanted)
        # Here and not around the module, so that a sharded block gathers its weights outside of what runs twice.
        out: Tensor = checkpoint(run, x, time, table, attendable, wanted, use_reentrant=False)
        return out

    def _forward(
        self,
        x: Tensor,
        time: Tensor | None,
        table: tuple[Tensor, Tensor],
        attendable: Tensor | None,
        wanted: Tensor | None,
    ) -> Tensor:
        return self.finish(x, self.mix(x, time, table, attendable), time, wanted)

    def mix(self, x: Tensor, time: Tensor | None, table: tuple[Tensor, Tensor], attendable: Tensor | None) -> Tensor:
        """What `forward` does first: what each position takes from others, [B, L, D]."""
        rate = self.rate if self.training else 0.0
        return self.attention.mix(self.attention_norm(x, time), table, attendable, rate)

    def finish(self, x: Tensor, mixed: Tensor, time: Tensor | None, wanted: Tensor | None) -> Tensor:
        """What it does then, which each position does by itself."""
        if wanted is not None:
            time = None if time is None else take(time.expand(*x.shape[:2], -1), wanted)
            x, mixed = take(x, wanted), take(mixed, wanted)
        x = x + self.dropout(self.attention.out(mixed))
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x, time)))
        return out

    def read_on(
        self,
        x: Tensor,
        table: tuple[Tensor, Tensor],
        kept: LayerCache,
        place: Place,
        attendable: Tensor | None,
        where: Tensor | None = None,
    ) -> Tensor:
        """x [R, k, D] -> [R, k, D] without dropout and time, for some places of some rows; see `Attention.mix_on`.

        With `where` Bool [R, k] it gives [N, D], as `forward` does.
        """
        mixed = self.attention.mix_on(self.attention_norm(x, None), table, kept, place, attendable)
        if where is not None:
            asked = places_of(where)
            x, mixed = take(x, asked), take(mixed, asked)
        x = x + self.attention.out(mixed)
        out: Tensor = x + self.mlp(self.mlp_norm(x, None))
        return out
