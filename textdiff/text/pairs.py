"""A source and its target on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textdiff.errors import ConfigError
from textdiff.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PairLayout:
    """The source is given, as a document with both of its ends; behind it is room for the target, which is free.

    The target stands at the start of its room; what it leaves over holds fillers, so that the network says itself where the
    target ends. The room is the same for all sources: it tells nothing of the target.

    Attributes:
        tokenizer: of both sides.
        target_length: positions of the room.
        context_length: positions of a whole row.
        one_end: whether a single filler ends the target and nothing follows. So it is from left to right, where all that
            follows the first filler is certain; both ways give a target the same probability.

    Raises:
        ConfigError: the tokenizer knows no filler or has no ends of documents, or the room leaves none for a source.
    """

    tokenizer: Tokenizer
    target_length: int
    context_length: int
    one_end: bool = False

    def __post_init__(self) -> None:
        if self.tokenizer.vocabulary.filler_id is None:
            raise ConfigError(
                "pairs need a tokenizer with a filler token, which says where a target ends; let one be trained"
            )
        if not self.tokenizer.prefix_ids and not self.tokenizer.suffix_ids:
            raise ConfigError(
                "this tokenizer marks no ends of documents, so a source could not be told from its target"
            )
        if self.longest_source < 1:
            raise ConfigError(
                f"a context of {self.context_length} tokens has no room for a source beside a target of {self.target_length}; "
                "make context_length larger or data.pairs.target_length smaller"
            )

    @property
    def filler(self) -> int:
        found = self.tokenizer.vocabulary.filler_id
        assert found is not None
        return found

    @property
    def longest_source(self) -> int:
        """Tokens of a source at most."""
        ends = len(self.tokenizer.prefix_ids) + len(self.tokenizer.suffix_ids)
        return self.context_length - self.target_length - ends

    def given(self, source: Sequence[int]) -> list[int]:
        """What stands before the room."""
        return [*self.tokenizer.prefix_ids, *source, *self.tokenizer.suffix_ids]

    def room(self, target: Sequence[int]) -> list[int]:
        """The room with a target in it."""
        left = self.target_length - len(target)
        return [*target, *[self.filler] * (min(left, 1) if self.one_end else left)]

    def target(self, room: Sequence[int]) -> list[int]:
        """The ids of the text in a room that was written; what stands behind the room is left out."""
        return [token for token in room[: self.target_length] if token != self.filler]
