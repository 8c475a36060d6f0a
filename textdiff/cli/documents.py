"""Input as bytes, from files and from stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from textdiff.errors import DataError
from textdiff.files import read_bytes

LARGEST = 256 << 20
"""Bytes of a document at most."""


def read_input(name: str) -> bytes:
    """All bytes of a file, or of stdin where the name is "-".

    Raises:
        DataError: it cannot be read or is larger than `LARGEST`.
    """
    if name != "-":
        return read_bytes(Path(name), LARGEST, DataError)
    if sys.stdin is None:
        raise DataError("standard input is closed")
    data = sys.stdin.buffer.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise DataError(f"standard input holds more than the {LARGEST:,} bytes that are read at most")
    return data
