"""The n-grams of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Gram = tuple[str, ...]


def grams(words: Sequence[str], n: int) -> Iterator[Gram]:
    """All n words in a row, in order: none where there are less than n."""
    return zip(*(words[start:] for start in range(n)), strict=False)
