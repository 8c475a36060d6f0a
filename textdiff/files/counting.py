"""Files that say how far they have been read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


class CountedFile(io.FileIO):
    """A file, unbuffered, that tells how many bytes were read at a time."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._on_bytes = on_bytes

    def readinto(self, buffer: Any) -> int:
        size = super().readinto(buffer) or 0
        self._on_bytes(size)
        return size


def counted_sha256(path: Path, on_bytes: Callable[[int], None]) -> str:
    """The sha256 of a file's bytes, telling how far it is."""
    with CountedFile(path, on_bytes) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
