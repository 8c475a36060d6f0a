"""Lines added to a file, each of them on the disk before work goes on."""

from __future__ import annotations

import os
from pathlib import Path

from textdiff.errors import DataError
from textdiff.files.reading import system_words
from textdiff.files.staging import room_for


def append_line(path: Path, line: bytes) -> None:
    """Adds a line to a file that may end with half a line, as a crash leaves it.

    Raises:
        DataError: the file cannot be written.
        ResourceError: the disk is full.
    """
    try:
        with room_for(path, path), path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = (b"" if file.read(1) == b"\n" else b"\n") + line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{path} cannot be written: {system_words(error)}") from None
