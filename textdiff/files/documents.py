"""Documents, replaced in one step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from textdiff.errors import DataError
from textdiff.files.reading import system_words
from textdiff.files.staging import beside, clean_stale, room_for, sync


def atomic_write(path: str | Path, data: bytes, original: bytes | None = None) -> None:
    """Writes a document in one step: a crash leaves all of the old bytes or all of the new ones.

    A link is followed to the file that it names; mode, owner and extended attributes are kept. What is no regular file
    (a terminal, a pipe) is simply written to.

    Args:
        original: the bytes that were read from this file. If it holds others by now, nothing is written.

    Raises:
        DataError: the file is read-only, was changed meanwhile, or cannot be written.
        ResourceError: the disk is full.
    """
    try:
        target = Path(os.path.realpath(path))
        if Path(path).exists() and not Path(path).is_file():
            Path(path).write_bytes(data)
        else:
            _replace(target, data, original)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be written: {system_words(error)}") from None


def _replace(target: Path, data: bytes, original: bytes | None) -> None:
    before = target.stat() if target.exists() else None
    if before and not (before.st_mode & 0o222 and os.access(target, os.W_OK)):
        raise DataError(f"{target} is read-only and has been left as it is")
    clean_stale(target.parent, target.name)
    staging = beside(target, "tmp")
    try:
        with room_for(target, staging):
            _stage(staging, data, target, before)
        if original is not None and not (target.is_file() and target.read_bytes() == original):
            raise DataError(f"{target} was changed meanwhile and has been left as it is")
        staging.replace(target)
        sync(target.parent)
    finally:
        staging.unlink(missing_ok=True)


def _stage(staging: Path, data: bytes, target: Path, before: os.stat_result | None) -> None:
    """Writes and syncs the new bytes, with the mode, owner and attributes of the target where there is one."""
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if before else 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if before:
            new = staging.stat()
            if (new.st_uid, new.st_gid) != (before.st_uid, before.st_gid):
                os.chown(staging, before.st_uid, before.st_gid)
            shutil.copystat(target, staging)
            os.utime(staging)
        os.fsync(descriptor)
