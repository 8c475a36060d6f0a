"""Names that no file can have."""

from __future__ import annotations

import os
from pathlib import Path

_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, limits.h


def unusable(path: str | Path) -> str | None:
    """Why nothing can be called so, in words, or None. Asking the system for such a file is an error of its own kind."""
    if "\0" in str(path):
        return "there is a null byte in its name"
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return "its name is no text"
    longest = max(map(len, name.split(b"/")))
    return "file name too long" if longest > _LONGEST_NAME or len(name) > _LONGEST_PATH else None
