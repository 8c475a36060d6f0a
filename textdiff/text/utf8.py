"""Bytes of documents as characters: strict decoding, and places that a person can find."""

from __future__ import annotations

from textdiff.errors import DataError


def decode(data: bytes, start: int, stop: int) -> str:
    """The text of data[start:stop].

    Raises:
        DataError: it is not UTF-8 (with the offset in `data`).
    """
    try:
        return str(memoryview(data)[start:stop], "utf-8")
    except UnicodeDecodeError as error:
        offset = start + error.start
        raise DataError(
            f"the document is not UTF-8: byte {offset} is 0x{data[offset]:02x} ({error.reason}). "
            "Convert it first, for example with iconv"
        ) from None


def place(data: bytes, offset: int) -> str:
    """ "line 3, column 7", both from 1, the column in characters. Reads the data up to there: for errors only."""
    line_start = data.rfind(b"\n", 0, offset) + 1
    line, column = data.count(b"\n", 0, offset) + 1, len(data[line_start:offset].decode(errors="replace")) + 1
    return f"line {line}, column {column}"


def cuts_character(data: bytes, offset: int) -> bool:
    """Whether the offset lies inside a character of UTF-8."""
    return offset < len(data) and data[offset] & 0xC0 == 0x80


def touches_word(data: bytes, start: int, stop: int) -> bool:
    """Whether a letter, a digit or an underscore stands right before or right after data[start:stop]."""
    # a character has at most four bytes; what is left of others is dropped
    before = data[max(0, start - 4) : start].decode(errors="ignore")[-1:]
    after = data[stop : stop + 4].decode(errors="ignore")[:1]
    return any(character.isalnum() or character == "_" for character in before + after)
