"""How files are read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from textdiff.corpus.detokenizing import Detokenizer, check_detokenizer
from textdiff.errors import ConfigError

Unit = Literal["file", "blank_line", "line"]

LONGEST_LINE = 1 << 26
"""Bytes of a line or of a field of a table: these are held whole. A text whose unit is the file streams at any length."""


@dataclass(frozen=True)
class ReadOptions:
    """How files become documents.

    Attributes:
        unit: what a document of a text file is: the whole file, a part between blank lines, or a line (ended by LF or CR LF).
        column: the column of a table that holds the text.
        encoding: of text files and of tables as text; a byte order mark is passed over.
        detokenize: the standard set whose tokens are put together, or None; see `detokenize`.
    """

    unit: Unit = "file"
    column: str = "text"
    encoding: str = "utf-8"
    detokenize: Detokenizer | None = None

    def __post_init__(self) -> None:
        check_encoding(self.encoding)
        check_detokenizer(self.detokenize)


def check_encoding(name: str) -> str:
    """The usual name of an encoding.

    Raises:
        ConfigError: there is none of that name, or it is no encoding of text.
    """
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True):
        raise ConfigError(f"no encoding is named {name!r}; give for example utf-8, utf-16, latin-1 or cp1252")
    return "utf-8" if found.name == "utf-8-sig" else found.name
