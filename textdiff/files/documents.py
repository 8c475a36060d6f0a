"""Documents, replaced in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from textdiff.errors import DataError
from textdiff.files.manifest import sha256_of
from textdiff.files.naming import unusable
from textdiff.files.reading import system_words
from textdiff.files.staging import beside, clean_stale, room_for, sync


def atomic_write(path: str | Path, data: bytes, original: bytes | None = None) -> None:
    """Writes a document in one step; see `atomic_file`.

    Args:
        original: the bytes that were read from this file. If it holds others by now, nothing is written.
    """
    with atomic_file(path, None if original is None else hashlib.sha256(original).hexdigest()) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: str | Path, original: str | None = None, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yields a file to write a document to. A crash leaves all of the old bytes or all of the new ones.

    A link is followed to the file that it names; mode, owner and extended attributes are kept. What is no regular file
    (a terminal, a pipe) is simply written to.

    Args:
        original: sha256 of the bytes that were read from this file. If it holds others by now, it stays as it is.
        mode: of a new file, before the umask.

    Raises:
        DataError: the file is read-only, was changed meanwhile, or cannot be written.
        ResourceError: the disk is full.
    """
    try:
        target = Path(os.path.realpath(path))
        special = Path(path).exists() and not Path(path).is_file()
        with Path(path).open("wb") if special else _replacing(target, original, mode) as file:
            yield file
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {system_words(error)}") from None


def require_writable(path: str | Path) -> None:
    """Raises a DataError if a file is there and is read-only, or none can be, before any work is spent on its content."""
    if problem := unusable(path):
        raise DataError(f"{path} cannot be written: {problem}")
    target = Path(os.path.realpath(path))
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise DataError(f"{target} is read-only and has been left as it is")


@contextlib.contextmanager
def _replacing(target: Path, original: str | None, mode: int) -> Iterator[BinaryIO]:
    require_writable(target)
    before = target.stat() if target.exists() else None
    clean_stale(target.parent, target.name)
    staging = beside(target, "tmp")
    try:
        with room_for(target, staging):
            descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if before else mode)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                if before:
                    _take_after(staging, target, before)
                os.fsync(descriptor)
        if original is not None and not (target.is_file() and sha256_of(target) == original):
            raise DataError(f"{target} was changed meanwhile and has been left as it is")
        staging.replace(target)
        sync(target.parent)
    finally:
        staging.unlink(missing_ok=True)


def _take_after(staging: Path, target: Path, before: os.stat_result) -> None:
    """Gives the new file the owner, mode and attributes of the old one."""
    new = staging.stat()
    if (new.st_uid, new.st_gid) != (before.st_uid, before.st_gid):
        os.chown(staging, before.st_uid, before.st_gid)
    shutil.copystat(target, staging)
    os.utime(staging)
