"""Files of a run's folder `curves`."""

from __future__ import annotations

from pathlib import Path

from textdiff.errors import DataError
from textdiff.files import atomic_write, system_words


def write_with_folder(path: Path, data: bytes) -> None:
    """Writes a file in one step, and makes its folder first.

    Raises:
        DataError: the file or the folder cannot be written.
        ResourceError: the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {system_words(error)}") from None
    atomic_write(path, data)
