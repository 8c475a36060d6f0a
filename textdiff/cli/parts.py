"""The finished stretches of a file that is being written, so that a run which was killed goes on from there."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from textdiff.errors import DataError
from textdiff.files import atomic_write, system_words

_SKIPPED = ".skipped"


class Parts:
    """Stretches of a file, in a hidden folder beside it until it is whole.

    A stretch's name stands for all that it was made from, so that one with the right name is the right one.
    """

    def __init__(self, target: Path, skip_errors: bool) -> None:
        """`skip_errors`: whether stretches will do in which wrong lines were passed on."""
        self._folder = target.parent / f".{target.name}.parts"
        self._skip_errors = skip_errors

    def find(self, name: str) -> Path | None:
        """Where a stretch is, if it is there."""
        paths = [self._folder / name, self._folder / (name + _SKIPPED)][: 1 + self._skip_errors]
        return next((path for path in paths if path.is_file()), None)

    def write(self, name: str, data: bytes, skipped: bool) -> None:
        """Keeps a stretch; `skipped`: lines in it were passed on. Raises what `atomic_write` raises."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self._folder} cannot be made a folder: {system_words(error)}") from None
        atomic_write(self._folder / (name + _SKIPPED * skipped), data)

    def whole(self, names: Sequence[str]) -> list[Path]:
        """The files of all stretches, in order.

        Raises:
            DataError: one is not there.
        """
        paths = [path for name in names if (path := self.find(name)) is not None]
        if len(paths) < len(names):
            raise DataError("a part that another process wrote is missing; the same command goes on from here")
        return paths

    def remove(self) -> None:
        """Removes what is from here."""
        for path in self._folder.glob("*"):
            if re.fullmatch(rf"[0-9a-f]{{64}}({re.escape(_SKIPPED)})?|\.tmp-[0-9a-f]{{64}}.*", path.name):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is something in it that is not from here
            self._folder.rmdir()


def digest_of(paths: Sequence[Path]) -> str:
    """The sha256 of files one after the other."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()


def copy_all(paths: Sequence[Path], file: BinaryIO) -> None:
    """Writes files one after the other."""
    for path in paths:
        with path.open("rb") as part:
            shutil.copyfileobj(part, file)
