"""Checkpoint folders, written so that a crash never costs the previous one.

Every file is synced, the manifest comes last, and one rename makes the whole visible: at any instant, a power cut
included, the name leads to the old folder or to the new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from textdiff.errors import CheckpointError, ConfigError
from textdiff.files.manifest import MANIFEST, files_in, read_manifest, write_manifest
from textdiff.files.naming import unusable
from textdiff.files.reading import system_words
from textdiff.files.staging import beside, clean_stale, room_for, sync

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yields an empty staging folder; when the block ends without an error it becomes ``path``, complete and synced.

    An existing folder is replaced only then, and only if everything in it came from here. A link is followed.

    Raises:
        ConfigError: before the block runs: the place cannot be written to, or holds what textdiff did not write.
        ResourceError: the disk is full. Nothing is left behind and the old folder is as it was.
    """
    try:
        target = Path(os.path.realpath(path))
        staging = beside(target, "tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        with room_for(target, staging):
            clean_stale(target.parent, target.name)
            _check_replaceable(target)
            staging.mkdir()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be written: {system_words(error)}") from None
    try:
        with room_for(target, staging):
            yield staging
            _seal(staging)
            _publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_place(path: Path) -> None:
    """Raises a ConfigError if no folder can be there or be made there, before any work is spent on its content."""
    if problem := unusable(path) or _not_unicode(path):
        raise ConfigError(f"{path} cannot be made: {problem}")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; --output needs a folder")
    above = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not above.is_dir():
        raise ConfigError(f"{path} cannot be made: {above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} cannot be written to: permission denied for {above}")


def require_replaceable(path: Path) -> None:
    """The same, and if something is there that `atomic_folder` would not replace."""
    require_place(path)
    _check_replaceable(Path(os.path.realpath(path)))


def _not_unicode(path: Path) -> str | None:
    """Libraries that write into a folder want its name as text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return None


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"{target} is a file; a folder is to be written there")
    try:
        ours = {*read_manifest(target)} if any(target.iterdir()) else set()
    except CheckpointError:
        raise ConfigError(f"{target} holds files that textdiff did not write. Choose another folder") from None
    foreign = sorted(files_in(target).keys() - ours)
    if foreign:
        raise ConfigError(f"{target} holds {foreign[0]!r}, which textdiff did not write. Choose another folder")


def _seal(staging: Path) -> None:
    """Gives every file the mode of the umask (safetensors writes 0600), syncs all, and writes the manifest last."""
    mode = staging.stat().st_mode & 0o666
    for name, file in files_in(staging).items():
        if file.is_symlink() or not file.is_file():
            raise CheckpointError(f"{name} is not a regular file and cannot be part of a checkpoint")
        file.chmod(mode)
        sync(file)
    for folder in [p for p in staging.rglob("*") if p.is_dir()]:
        sync(folder)
    write_manifest(staging)
    sync(staging / MANIFEST)
    sync(staging)


def _publish(staging: Path, target: Path) -> None:
    """Puts the complete folder in the target's place; afterwards ``staging`` is the old one, or nothing."""
    if not target.exists():
        staging.rename(target)
    elif not _exchange(staging, target):
        trash = beside(target, "trash")
        target.rename(trash)
        try:
            staging.rename(target)
        except BaseException:
            trash.rename(target)
            raise
        trash.rename(staging)
    sync(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step, so that the target is never without a folder; False where the system cannot."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return swap is not None and not swap(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
