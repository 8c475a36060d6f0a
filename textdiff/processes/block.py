"""Masks come block by block: text before a block is known when the block is written, and text behind it never is."""

from __future__ import annotations

from dataclasses import dataclass

from textdiff.errors import ConfigError
from textdiff.processes.absorbing import AbsorbingProcess
from textdiff.processes.base import ForwardProcess
from textdiff.registry import register


@register(ForwardProcess, "block")
@dataclass(frozen=True)
class BlockProcess(AbsorbingProcess):
    """From left to right by blocks, and within a block masked diffusion. The bound is the sum of the blocks' bounds.

    The denoiser sees the clean text before the block that it looks at, that block, and nothing else; so keys and values of
    what is written never change. Blocks of one token are a left-to-right model, whose bound is its likelihood; one block
    for the whole context is ordinary masked diffusion.

    Attributes:
        block_size: positions of a block, counted from the start of a row.

    Raises:
        ConfigError: block_size is below 1, or the vocabulary has no mask.

    Source: BD3-LM, arXiv 2503.09573.
    """

    block_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_size < 1:
            raise ConfigError(f"block_size must be at least 1, got {self.block_size}")

    @property
    def causal_blocks(self) -> int | None:
        return self.block_size
