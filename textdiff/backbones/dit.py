"""Our own network: a Transformer with time embedding, bidirectional or causal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from textdiff.backbones.base import Backbone, BackboneConfig
from textdiff.backbones.block_masks import noisy_beside_clean
from textdiff.backbones.cache import KeyValueCache
from textdiff.backbones.documents import positions_within, same_document
from textdiff.backbones.graphs import Graphs
from textdiff.backbones.layers import (
    LearnedTime,
    Place,
    SinusoidalTime,
    rotary_table,
)
from textdiff.backbones.transformer import AdaptiveNorm, Block
from textdiff.errors import ConfigError
from textdiff.masks import is_full
from textdiff.packed import places_of, take
from textdiff.products import Linear
from textdiff.registry import register
from textdiff.vocabulary import Vocabulary


@register(BackboneConfig, "dit")
@dataclass(frozen=True)
class DiTConfig(BackboneConfig):
    """Sizes and options of `DiT`.

    Attributes:
        hidden_size: D, a multiple of 2 * num_attention_heads.
        num_hidden_layers: number of Transformer blocks.
        num_attention_heads: heads of a block.
        mlp_ratio: hidden units of the gated MLP as a multiple of D, rounded up to a multiple of 32.
        dropout: probability in attention and on both residual branches, in training only.
        time_embedding: how t is encoded. `auto` is `none` for absorbing noise, which needs none (arXiv 2406.03736), and
            `sinusoidal` for other noise, which does.
        time_injection: added to the input, or as adaptive norm in every block (arXiv 2212.09748).
        given_embedding: adds a learned vector at given positions; with uniform noise nothing else tells them apart.
        tie_word_embeddings: the output layer shares the input's weights.
    """

    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    mlp_ratio: float = 8 / 3
    dropout: float = 0.0
    time_embedding: Literal["auto", "none", "sinusoidal", "learned"] = "auto"
    time_injection: Literal["input", "adaptive_norm"] = "adaptive_norm"
    given_embedding: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        for name, most in (("hidden_size", 65_536), ("num_hidden_layers", 1_024), ("num_attention_heads", 1_024)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be between 1 and {most}, got {getattr(self, name)}")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ConfigError(
                f"hidden_size must be a multiple of twice num_attention_heads ({2 * self.num_attention_heads}), "
                f"got {self.hidden_size}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if not 0 < self.mlp_ratio <= 64:
            raise ConfigError(f"mlp_ratio must be above 0 and at most 64, got {self.mlp_ratio}")

    def make(self, vocabulary: Vocabulary, context_length: int) -> DiT:
        return DiT(self, vocabulary.size)

    def make_causal(self, vocabulary: Vocabulary, context_length: int) -> DiT:
        return DiT(self, vocabulary.size, causal=True)

    def make_blocks(self, vocabulary: Vocabulary, context_length: int, block_size: int) -> DiT:
        if self.time_embedding not in ("auto", "none"):
            raise ConfigError("blocks are told no time: leave time_embedding out")
        return DiT(self, vocabulary.size, block_size=block_size)

    def resolved(self, needs_time: bool) -> DiTConfig:
        if self.time_embedding != "auto":
            return self
        return replace(self, time_embedding="sinusoidal" if needs_time else "none")

    @property
    def adaptive(self) -> bool:
        return self.time_embedding != "none" and self.time_injection == "adaptive_norm"


def _attendable(valid: Tensor) -> Tensor | None:
    """Bool [B, 1, 1, L]: what all positions attend to; None where that is everything, which is faster."""
    return None if is_full(valid) else valid[:, None, None, :]


def _alike(x: Tensor) -> bool:
    """Whether all rows of x [B, L, D] are one, as those of text from nothing are at first: then one goes through the layers.

    Asked of a network in use on a CPU only; a GPU would have to be waited for.
    """
    using = x.device.type == "cpu" and not torch.is_grad_enabled()
    return using and len(x) > 1 and torch.equal(x[1:], x[:-1])


def _moved(x: Tensor, begin: Tensor, valid: Tensor, documents: Tensor | None) -> Tensor:
    """x [B, L, D] one place to the right, with `begin` [D] where a row or, if they are told apart, a document begins."""
    numbers = torch.zeros_like(valid, dtype=torch.long) if documents is None else documents
    first = positions_within(numbers, valid) == 0
    return torch.where(first.unsqueeze(-1), begin.to(x.dtype), x.roll(1, 1))


_TIMES: dict[str, Callable[[int], nn.Module | None]] = {
    "none": lambda width: None,
    "sinusoidal": SinusoidalTime,
    "learned": LearnedTime,
}


class DiT(Backbone):
    """Transformer: rotary positions, normalised queries and keys, optional time embedding.

    A causal one takes at each position the id before it, and attends to nothing behind. What is given needs no mark there:
    a token is predicted from a given one as from a written one.

    Source: DiT, arXiv 2212.09748; as a text denoiser MDLM, arXiv 2406.07524.
    """

    def __init__(
        self, config: DiTConfig, vocabulary_size: int, causal: bool = False, block_size: int | None = None
    ) -> None:
        super().__init__()
        self.block_size = block_size
        self.config: DiTConfig = config
        self.uses_time = config.time_embedding != "none"
        width = config.hidden_size
        self.embed = nn.Embedding(vocabulary_size, width)
        self.begin = nn.Embedding(1, width) if causal else None
        self.given = nn.Embedding(1, width) if config.given_embedding and not causal else None
        self.time = _TIMES[config.time_embedding](width)
        self.blocks = nn.ModuleList(Block(config, causal) for _ in range(config.num_hidden_layers))
        self.norm = AdaptiveNorm(width, config.adaptive)
        self.head = None if config.tie_word_embeddings else Linear(width, vocabulary_size, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.graphs: Graphs | None = None

    def input_embeddings(self) -> nn.Module:
        return self.embed

    def repeated(self) -> list[nn.Module]:
        return list(self.blocks)

    def compile_layers(self) -> None:
        for block in self.blocks:
            block.compiled = torch.compile(block._forward)  # type: ignore[assignment, arg-type]

    def use_graphs(self) -> None:
        self.graphs = Graphs()

    def enable_gradient_checkpointing(self) -> None:
        for block in self.blocks:
            block.gradient_checkpointing = True  # type: ignore[assignment]

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        given: Tensor,
        valid: Tensor,
        where: Tensor,
        documents: Tensor | None = None,
        clean: Tensor | None = None,
    ) -> Tensor:
        x = self._embedded(x_t, given)
        if self.begin is not None:
            x = _moved(x, self.begin.weight[0], valid, documents)
        size = self.config.hidden_size // self.config.num_attention_heads
        table = rotary_table(x.shape[1], size, x.device, x.dtype)
        if self.block_size is None:
            attendable = self._attendable(valid, documents)
        else:
            attendable = noisy_beside_clean(self.block_size, valid, documents)
            x = torch.cat((x, self.embed(x_t if clean is None else clean)), 1)
            table = (torch.cat((table[0], table[0])), torch.cat((table[1], table[1])))
            where = torch.cat((where, torch.zeros_like(where)), 1)
        wanted = places_of(where)  # before a GPU has the layers to do
        time = None if self.time is None else self.time(t).unsqueeze(1)
        if time is not None and not self.config.adaptive:
            x, time = x + time, None
        if self._repeats(x):
            assert self.graphs is not None
            x, mixed = self.graphs(partial(self._mixed_last, table), x, time, attendable)
            x = self.blocks[-1].finish(x, mixed, time, wanted)  # type: ignore[operator]
        elif time is None and attendable is None and _alike(x):
            x, mixed = (part.expand_as(x) for part in self._mixed_last(table, x[:1], None, None))
            x = self.blocks[-1].finish(x, mixed, None, wanted)  # type: ignore[operator]
        else:
            last = len(self.blocks) - 1
            for i, block in enumerate(self.blocks):
                x = block(x, time, table, attendable, wanted if i == last else None)
        time = None if time is None else take(time.expand(*where.shape, -1), wanted)
        hidden: Tensor = self.norm(x, time)
        return hidden

    def _repeats(self, x: Tensor) -> bool:
        """Whether the layers run as a CUDA graph: in use only, where nothing but x changes from call to call."""
        using = not (self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type))
        return using and self.graphs is not None and x.device.type == self.graphs.device

    def _mixed_last(
        self, table: tuple[Tensor, Tensor], x: Tensor, time: Tensor | None, attendable: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What enters the last layer, and what it mixes: all that is done for as many positions in each call."""
        for block in self.blocks[:-1]:
            x = block(x, time, table, attendable)
        return x, self.blocks[-1].mix(x, time, table, attendable)  # type: ignore[operator]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DiT:
        if self.graphs is not None:  # they know weights by their place
            self.graphs.clear()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def _embedded(self, ids: Tensor, given: Tensor) -> Tensor:
        x: Tensor = self.embed(ids)
        return x if self.given is None else x + given.unsqueeze(-1) * self.given.weight[0]

    @property
    def can_read_on(self) -> bool:
        return self.begin is not None and not self.uses_time

    def empty_cache(self, rows: int, length: int) -> KeyValueCache:
        return KeyValueCache.empty(len(self.blocks), rows, length, self.config.num_attention_heads, self.embed.weight)

    def read_on(self, cache: KeyValueCache, rows: Tensor, x_t: Tensor, last: Tensor) -> Tensor:
        start = torch.minimum(cache.known(rows, x_t), last)
        # as many places as the row with the most needs; the last of a row is read again where it needs fewer
        places = torch.minimum(
            start[:, None] + torch.arange(int((last - start).max()) + 1, device=x_t.device), last[:, None]
        )
        assert self.begin is not None
        x = self.embed(x_t.gather(-1, (places - 1).clamp(min=0)))
        x = torch.where((places == 0).unsqueeze(-1), self.begin.weight[0], x)
        seen = int(last.max()) + 1
        before = torch.arange(seen, device=x.device) <= places[:, None, :, None]
        x = self._through(x, cache, Place(rows, places, seen), before)
        cache.note(rows, x_t, last)
        hidden: Tensor = self.norm(x[:, -1], None)
        return hidden

    @property
    def can_read_parts(self) -> bool:
        return self.begin is None and not self.uses_time

    def read_part(
        self,
        cache: KeyValueCache,
        rows: Tensor,
        x_t: Tensor,
        given: Tensor,
        part: slice,
        seen: int,
        where: Tensor,
        attendable: Tensor | None = None,
    ) -> Tensor:
        places = torch.arange(part.start, part.stop, device=x_t.device).expand(len(rows), -1)
        x = self._embedded(x_t[:, part], given[:, part])
        x = self._through(x, cache, Place(rows, places, seen), attendable, where[:, part])
        hidden: Tensor = self.norm(x, None)
        return hidden

    def _through(
        self, x: Tensor, cache: KeyValueCache, place: Place, attendable: Tensor | None, where: Tensor | None = None
    ) -> Tensor:
        """x [R, k, D] through all layers, with what is kept of other places."""
        size = self.config.hidden_size // self.config.num_attention_heads
        cos, sin = (part[place.places] for part in rotary_table(place.seen, size, x.device))
        last = len(self.blocks) - 1
        for i, (block, kept) in enumerate(zip(self.blocks, cache.layers, strict=True)):
            x = block.read_on(x, (cos, sin), kept, place, attendable, where if i == last else None)  # type: ignore[operator]
        return x

    def _attendable(self, valid: Tensor, documents: Tensor | None) -> Tensor | None:
        """Bool [B, 1, L or 1, L], or None: everything, or all before where the network is causal."""
        if documents is None:  # padding stands behind all else
            return None if self.begin is not None else _attendable(valid)
        same = same_document(documents, valid)
        return same if self.begin is None else same.tril()

    def output_layer(self) -> tuple[Tensor, Tensor]:
        return self.embed.weight if self.head is None else self.head.weight, self.head_bias
