"""How WordPiece tokens become text again: BERT's vocabularies do not say where spaces stand."""

from __future__ import annotations

import re
from collections.abc import Iterable

_JOINS = {b"-", b"'", b"/", b"(", b"[", b"{", b"@", b"#", b"$", b"\\", b"_", "’".encode(), "“".encode(), "‘".encode()}
_OPENS = {
    b"(",
    b"[",
    b"{",
    b"@",
    b"#",
    b"$",
    "“".encode(),
    "‘".encode(),
    b"&",
    b"+",
    b"=",
    b"<",
    "–".encode(),
    "—".encode(),
}
_QUOTE = b'"'
_UNUSED = re.compile(r"\[unused\d+\]")


def join_words(pieces: Iterable[bytes]) -> bytes:
    """Joins pieces as English sets them: "( a )" becomes "(a)", "don ' t" becomes "don't", quotes pair up."""
    text, open_quote, joining = b"", False, False
    for piece in pieces:
        if piece == _QUOTE:
            text += piece if open_quote or joining else b" " + piece
            open_quote, joining = not open_quote, not open_quote
        elif piece:
            spaced = b" " + piece if piece in _OPENS and not joining else piece
            text += spaced.removeprefix(b" ") if joining else spaced
            joining = piece in _JOINS
    return text


def joins_next(piece: bytes) -> bool:
    """Whether the spaces around this piece depend on its neighbours, so that it does not count words reliably."""
    return piece == _QUOTE or piece in _JOINS or piece in _OPENS


def is_unused(token: str) -> bool:
    """Whether an entry is one of BERT's reserved rows, which were never trained."""
    return _UNUSED.fullmatch(token) is not None
