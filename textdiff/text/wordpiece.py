"""WordPiece vocabularies: what each entry is, since they do not say where spaces, capitals and quotes stand."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, IntEnum
from typing import NamedTuple

from textdiff.text.english import ABBREVIATIONS, CAPITALS, ELISIONS, ENDINGS, INITIALS, TITLES
from textdiff.text.pieces import is_punctuation

_UNUSED = re.compile(r"\[unused\d+\]")


class Role(Enum):
    """What a piece does to the spaces around it."""

    NOTHING = "special ids: never written"
    CONTINUATION = "goes on with a word"
    WORD = "a word"
    NUMBER = "a number"
    IDEOGRAPH = "a Chinese character: no spaces around"
    WIDE = "punctuation of East Asia: no spaces around"
    DOT = "."
    STOP = "! ? …"
    COMMA = ","
    COLON = ":"
    CLOSER = "joins what stands before it"
    BRACKET = "closes a bracket"
    OPENER = "joins what comes after it"
    SIGN = "joins the number or name after it"
    DOUBLE = "a double quote"
    SINGLE = "a single quote or an apostrophe"
    HYPHEN = "- joins both sides, unless the document uses it as a dash"
    SLASH = "joins both sides"
    EN_DASH = "–"
    EM_DASH = "—"
    SYMBOL = "stands apart"


class Case(IntEnum):
    """How a word is written, compared with the vocabulary's spelling."""

    SAME = 0
    CAPITAL = 1
    UPPER = 2


class Piece(NamedTuple):
    """What decides how a token is written.

    Attributes:
        role: what it does to the spaces around it.
        text: quotes only: the character.
        case: how a model that knows lower case only should write it within a sentence.
        traits: which of the word lists hold it ("ending", "elision", "title", …).
    """

    role: Role
    text: str = ""
    case: Case = Case.SAME
    traits: frozenset[str] = frozenset()


_LISTS = {
    "ending": ENDINGS,
    "elision": ELISIONS,
    "short": ABBREVIATIONS,
    "letter": frozenset("gemsk"),
    "title": TITLES,
}
_ROLES = {
    ".": Role.DOT,
    ",": Role.COMMA,
    ":": Role.COLON,
    "–": Role.EN_DASH,
    "—": Role.EM_DASH,
    **dict.fromkeys("!?…‼⁇⁈⁉", Role.STOP),
    **dict.fromkeys(")]}", Role.BRACKET),
    **dict.fromkeys("([{«‹¿¡`", Role.OPENER),
    **dict.fromkeys("$#@", Role.SIGN),
    **dict.fromkeys('"“”„', Role.DOUBLE),
    **dict.fromkeys("'’‘‚", Role.SINGLE),
    "-": Role.HYPHEN,
    **dict.fromkeys("/\\_^‐‑", Role.SLASH),
    **dict.fromkeys("&+=<>|~•", Role.SYMBOL),
}


def describe(token: str, prefix: str = "##") -> Piece:
    """What decides how an entry of the vocabulary is written.

    Args:
        token: the entry.
        prefix: what marks the continuation of a word, or "".
    """
    if not token or any(unicodedata.category(c) == "Cc" for c in token):
        return Piece(Role.NOTHING)
    number = frozenset({"number"})
    if prefix and token.startswith(prefix) and len(token) > len(prefix):
        digits = token.removeprefix(prefix).isdigit()
        return Piece(Role.CONTINUATION, traits=number if digits else frozenset())
    if is_punctuation(token):
        role = Role.WIDE if "\u3000" <= token <= "\u303f" or "\uff00" <= token <= "\uffef" else Role.CLOSER
        role = _ROLES.get(token, role)
        return Piece(role, token if role in (Role.DOUBLE, Role.SINGLE) else "")
    if len(token) == 1 and unicodedata.name(token, "").startswith("CJK "):
        return Piece(Role.IDEOGRAPH)
    if token.isdigit():
        return Piece(Role.NUMBER, traits=number | {"thousands"} if len(token) == 3 else number)
    capital = token in CAPITALS or token in INITIALS
    traits = frozenset(trait for trait, words in _LISTS.items() if token in words)
    return Piece(Role.WORD, case=Case.CAPITAL if capital else Case.SAME, traits=traits)


def is_unused(token: str) -> bool:
    """Whether an entry is one of BERT's reserved rows, which were never trained."""
    return _UNUSED.fullmatch(token) is not None
