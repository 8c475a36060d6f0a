"""Where a text is cut into blocks, and what each of them sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textdiff.errors import UsageError
from textdiff.infiller.caching import Cache, require_cache
from textdiff.model import DiffusionModel


@dataclass(frozen=True)
class Block:
    """A stretch of a text that is written at once.

    Attributes:
        first: where the text that it sees begins.
        start, stop: the positions start … stop - 1 are written; all before are known.
        ahead: how many positions behind it the network sees as noise.
    """

    first: int
    start: int
    stop: int
    ahead: int


@dataclass(frozen=True)
class Blocks:
    """How a text is cut into blocks.

    Attributes:
        size: positions of a block; the last one may be shorter.
        context_length: positions that the network sees at once.
        looks_ahead: whether it sees noise where the text goes on behind a block.
        cache: what is kept while a block is written; see `CachedBlock`.
        aligned: whether blocks begin at multiples of their size, as those of a model that reads block by block do.

    Raises:
        UsageError: the context has no room for a block and text before it.
    """

    size: int
    context_length: int
    looks_ahead: bool
    cache: Cache | None = None
    aligned: bool = False

    def __post_init__(self) -> None:
        if not (self.aligned or 1 <= self.size < self.context_length):
            raise UsageError(
                f"block_size must be from 1 to {self.context_length - 1}, since the model's context of "
                f"{self.context_length} tokens must hold a block and text before it, got {self.size}"
            )

    @staticmethod
    def of(model: DiffusionModel, size: int | None, length: int, cache: Cache | None = None) -> Blocks | None:
        """The blocks of a text of this length; None where it is written at once.

        size: as it was asked for. Where nobody asked, texts longer than the context have blocks of a quarter of it.

        A network that is told the time would take noise behind the block for as far gone as the block itself.

        Raises:
            UsageError: blocks that the context cannot hold, or a cache that the model or the text has no use for.
        """
        context = int(model.config.context_length)
        if (own := model.process.causal_blocks) is not None:
            return _of_trained(own, context, size, length, cache)
        if cache is not None:
            require_cache(model)
            if size is None and length <= context:
                raise UsageError("cache keeps what stands around a block: give block_size too")
        if size is None and length <= context:
            return None
        ahead = not (model.process.left_to_right or model.process.needs_time or model.backbone.uses_time)
        return Blocks(max(1, context // 4) if size is None else size, context, ahead, cache)

    def cut(self, given: int, length: int) -> Iterator[Block]:
        """The blocks of a text of `length` tokens, of which the first `given` are known, in the order of writing."""
        if self.aligned:
            yield from self._cut_aligned(given, length)
            return
        most_ahead = min(self.context_length // 8, (self.context_length - self.size) // 2) if self.looks_ahead else 0
        for start in range(given, length, self.size):
            stop = min(start + self.size, length)
            ahead = min(most_ahead, length - stop)
            yield Block(max(0, stop + ahead - self.context_length), start, stop, ahead)

    def _cut_aligned(self, given: int, length: int) -> Iterator[Block]:
        start = given
        while start < length:
            stop = min((start // self.size + 1) * self.size, length)
            first = -(-max(0, stop - self.context_length) // self.size) * self.size
            yield Block(first, start, stop, 0)
            start = stop


def _of_trained(own: int, context: int, size: int | None, length: int, cache: Cache | None) -> Blocks:
    """The blocks that a model was trained with."""
    if size not in (None, own):
        raise UsageError(f"the model was trained with blocks of {own} tokens, got block_size {size}: leave it out")
    if cache is not None:
        raise UsageError("a model that reads block by block keeps what it has read, and is exact: leave cache out")
    if own >= context and length > context:
        raise UsageError(
            f"the model's one block is its whole context of {context} tokens and cannot be gone on from: "
            f"ask for fewer tokens, {length} with the prompt are too many"
        )
    return Blocks(own, context, looks_ahead=False, aligned=True)
