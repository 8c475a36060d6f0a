"""Excerpts of held-out texts: what a model goes on from, and what generated texts are set beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from textdiff.errors import DataError
from textdiff.text.tokenizers import Tokenizer

_DOCUMENTS = 1 << 8


@dataclass(frozen=True)
class Passage:
    """A text, and what it goes on from ("" where it stands by itself)."""

    prompt: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the text, parted by blanks, without those at its ends that may lack a part: it was cut out by tokens."""
        words = self.text.split()
        if words and self.prompt and not (self.prompt[-1].isspace() or self.text[0].isspace()):
            words = words[1:]
        return words if self.text[-1:].isspace() else words[:-1]


@dataclass(frozen=True)
class Excerpt:
    """Some tokens of a document.

    Attributes:
        prompt: ids that a model is given; () where it writes from nothing.
        rest: the ids that follow them.
    """

    prompt: tuple[int, ...]
    rest: tuple[int, ...]

    def passage(self, tokenizer: Tokenizer, rest: Sequence[int] | None = None) -> Passage:
        """What it says, or would say with other ids for its rest."""
        return passage(tokenizer, self.prompt, self.rest if rest is None else rest)


def passage(tokenizer: Tokenizer, prompt: Sequence[int], rest: Sequence[int]) -> Passage:
    """The text of some ids that follow others. A character that is cut between the two belongs to what follows."""
    given, whole = tokenizer.decode(prompt).rstrip("\ufffd"), tokenizer.decode([*prompt, *rest])
    return (
        Passage(given, whole.removeprefix(given)) if whole.startswith(given) else Passage(given, tokenizer.decode(rest))
    )


def take_excerpts(
    texts: Iterable[str], tokenizer: Tokenizer, count: int, prompt_tokens: int, new_tokens: int
) -> list[Excerpt]:
    """So many excerpts, spread evenly over some documents.

    Each document is cut from its beginning into stretches of `prompt_tokens` + `new_tokens` tokens, of which each begins a
    word where tokens tell words apart; what is left at its end is too short.

    Raises:
        DataError: there are fewer of them.
    """
    size = prompt_tokens + new_tokens
    found = [stretch for ids in _encoded(texts, tokenizer) for stretch in _stretches(ids, size, tokenizer)]
    if len(found) < count:
        raise DataError(
            f"the held-out text has {len(found)} stretches of {size} tokens within a document, and {count} are asked for: "
            "take fewer samples or tokens, or more text"
        )
    chosen = (found[int(place)] for place in np.linspace(0, len(found) - 1, count).round())
    return [Excerpt(tuple(ids[:prompt_tokens]), tuple(ids[prompt_tokens:])) for ids in chosen]


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[list[int]]:
    stream = iter(texts)
    while batch := [*islice(stream, _DOCUMENTS)]:
        yield from tokenizer.encode_many(batch)


def _stretches(ids: Sequence[int], size: int, tokenizer: Tokenizer) -> Iterator[Sequence[int]]:
    opens = tokenizer.opens
    start = 0
    while start + size <= len(ids):
        yield ids[start : start + size]
        start += size
        while start < len(ids) and not opens[ids[start]]:
            start += 1
