"""How much of some texts stands in another one, such as that which a model has learned from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

import numpy as np

from textdiff.corpus import Piece
from textdiff.metrics.grams import Gram, grams
from textdiff.metrics.jackknife import Parts


def novelty_parts(texts: Iterable[Sequence[str]], known: Set[Gram], n: int) -> Parts:
    """[N, 2]: how many of a text's n-grams are not known, and how many it has. Their ratio is the novelty, 0 to 1.

    Args:
        texts: the words of each.
        known: n-grams of the reference; see `known_grams`.
        n: words of an n-gram.
    """
    rows = []
    for words in texts:
        found = [*grams(words, n)]
        rows.append((sum(gram not in known for gram in found), len(found)))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def known_grams(wanted: Set[Gram], reference: Iterable[Piece], n: int) -> set[Gram]:
    """Those of the wanted n-grams that stand in a reference. What is held grows with these, not with the reference.

    Args:
        wanted: n-grams.
        reference: its documents in pieces, as `read_corpus` gives them. Words are what blanks part; none crosses documents.
        n: words of an n-gram.
    """
    number = {word: i for i, word in enumerate({word for gram in wanted for word in gram}, 1)}
    sought = {tuple(number[word] for word in gram): gram for gram in wanted}
    found: set[Gram] = set()
    for words in _runs(reference, n):
        if len(words) < n:
            continue
        ids = np.fromiter((number.get(word, 0) for word in words), dtype=np.int64, count=len(words))
        # a window with a word that no wanted n-gram has is none of them: most are passed over here
        starts = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(ids > 0, n).all(-1))
        here = {tuple(ids[start : start + n].tolist()) for start in starts}
        found |= {sought[gram] for gram in here & sought.keys()}
    return found


def _runs(pieces: Iterable[Piece], n: int) -> Iterator[list[str]]:
    """The words of each piece, with the n - 1 before them in the document; a word that a piece cuts in two is one word."""
    before: list[str] = []
    cut = ""
    for piece in pieces:
        text = cut + piece.text
        words = text.split()
        cut = words.pop() if words and not piece.last and not text[-1].isspace() else ""
        words = before + words
        yield words
        before = [] if piece.last else words[max(0, len(words) - n + 1) :]
