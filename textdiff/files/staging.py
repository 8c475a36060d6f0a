"""What a write in one step needs: a staging place, syncing, an answer to a full disk, cleaning up after the dead."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from textdiff.errors import ResourceError
from textdiff.files.manifest import files_in, verify_folder

_LEFTOVER = re.compile(r"\.(?P<kind>tmp|trash)-(?P<name>.+)-(?P<pid>\d{1,9})")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def beside(target: Path, kind: str) -> Path:
    """``.tmp-NAME-PID`` or ``.trash-NAME-PID`` beside the target, so that a rename never crosses file systems."""
    return target.with_name(f".{kind}-{target.name}-{os.getpid()}")


def clean_stale(folder: str | Path, name: str | None = None) -> list[Path]:
    """Removes what dead processes left half-written in a folder, and returns it.

    A folder that was moved aside, when nothing came in its place, gets its name back.

    Args:
        name: only what was left of this name. Without one, the folder must be written to from this machine only.
    """
    cleaned = []
    for entry in sorted(Path(folder).glob(".t*-*")):
        match = _LEFTOVER.fullmatch(entry.name)
        if match is None or name not in (None, match["name"]) or _alive(int(match["pid"])):
            continue
        target = entry.with_name(match["name"])
        if match["kind"] == "trash" and not target.exists() and not verify_folder(entry):
            entry.rename(target)
        elif entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        cleaned.append(entry)
    return cleaned


def sync(path: Path) -> None:
    """Waits until a file's or a folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def room_for(target: Path, staging: Path) -> Iterator[None]:
    """Turns "disk full" into a ResourceError, also where a library (safetensors, tokenizers) only says it in words."""
    try:
        yield
    except Exception as error:
        in_words = re.search(r"os error (\d+)", str(error))
        code = error.errno if isinstance(error, OSError) else int(in_words[1]) if in_words else None
        if code not in _FULL:
            raise
        files = files_in(staging).values() if staging.is_dir() else [staging]
        written = sum(file.lstat().st_size for file in files if file.exists())
        raise ResourceError(
            f"{target} cannot be written ({os.strerror(code).lower()}): it needs more than the {written:,} bytes that "
            f"went in, {shutil.disk_usage(target.parent).free:,} bytes are free"
        ) from error


def _alive(pid: int) -> bool:
    """Whether another process of that number runs. Our own number on a leftover is that of an earlier process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()
