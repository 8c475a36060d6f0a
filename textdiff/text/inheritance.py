"""Which tokens of one tokenizer spell a token of another."""

from __future__ import annotations

from collections.abc import Sequence

from textdiff.text.tokenizer import Tokenizer


def ancestors(new: Tokenizer, old: Tokenizer) -> list[Sequence[int]]:
    """For each id of `new` the ids of `old` that say the same: one of the same text, else those that spell it.

    Text is compared in bytes, with the space that a word's first token stands for; in lower case where `old` knows no
    other; and with or without that space where there is no better. Tokens that nothing is like have none, such as fillers
    and line ends that `old` never reads. Special tokens descend from those of the same use.

    Returns:
        [V new] sequences of ids below V old.
    """
    finder = _Finder(old)
    special = {*new.vocabulary.special_ids, new.vocabulary.filler_id}
    uses = _uses(new, old)
    return [uses.get(i, ()) if i in special else finder.find(piece) for i, piece in enumerate(new.pieces)]


def _uses(new: Tokenizer, old: Tokenizer) -> dict[int, Sequence[int]]:
    """The special ids of `new` that `old` has too, under whatever name."""
    ends = (old.suffix_ids or old.prefix_ids)[-1:]
    pairs: list[tuple[int | None, int | None]] = [
        (new.vocabulary.pad_id, old.vocabulary.pad_id),
        (new.unknown_id, old.unknown_id),
        *((mine, end) for mine in (*new.prefix_ids, *new.suffix_ids) for end in ends),
        (new.vocabulary.filler_id, old.vocabulary.filler_id),
        (new.vocabulary.mask_id, old.vocabulary.mask_id),
    ]
    return {mine: [its] for mine, its in pairs if mine is not None and its is not None}


class _Finder:
    """Finds text in the pieces of a tokenizer."""

    def __init__(self, old: Tokenizer) -> None:
        self._lower = old.lower_case
        self._ids: dict[bytes, int] = {}
        for i, piece in enumerate(old.pieces):
            if piece:
                self._ids.setdefault(piece, i)
        self._longest = max(map(len, self._ids), default=0)

    def find(self, piece: bytes) -> Sequence[int]:
        text = self._folded(piece)
        for form in (text, text.removeprefix(b" "), b" " + text):
            if form in self._ids:
                return [self._ids[form]]
        return (self._spelled(text) or self._spelled(b" " + text)) if text.strip() else ()

    def _folded(self, piece: bytes) -> bytes:
        if not self._lower:
            return piece
        try:
            return piece.decode().lower().encode()
        except UnicodeDecodeError:
            return piece

    def _spelled(self, text: bytes) -> Sequence[int]:
        """Always the longest piece that fits; bytes that no piece begins with are passed over."""
        found, at = [], 0
        while at < len(text):
            sizes = range(min(self._longest, len(text) - at), 0, -1)
            size = next((size for size in sizes if text[at : at + size] in self._ids), 0)
            if size:
                found.append(self._ids[text[at : at + size]])
            at += max(size, 1)
        return found
