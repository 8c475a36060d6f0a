"""What comes out of a file: pieces of documents, and what is wrong between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from textdiff.errors import DataError


class Piece(NamedTuple):
    """A part of a document, and whether the document ends with it."""

    text: str
    last: bool


@dataclass(frozen=True)
class Problem:
    """Something that a person should know about a file.

    Attributes:
        kind: one word for machines.
        message: one sentence: what was found, where, what to do.
        of_row: only one row (or line) cannot be used; all others can.
        note: nothing has to be done about it.
        count: how many there are of it.
    """

    kind: str
    message: str
    of_row: bool = False
    note: bool = False
    count: int = 1


class UnreadableError(DataError):
    """The rest of a file cannot be used."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


Event = Piece | Problem
