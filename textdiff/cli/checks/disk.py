"""Room on the disk, and whether it may be written to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from textdiff.cli.checks.finding import Asked, Finding, failed, note, ok, size
from textdiff.files import system_words

_ENOUGH = 1 << 30
_PROBE = bytes(1 << 16)


def check_folders(asked: Asked) -> Iterator[Finding]:
    """The current folder, the temporary one, and the cache of models from the hub."""
    yield _current(Path.cwd())
    yield _temporary()
    yield _cache()


def _current(folder: Path) -> Finding:
    problem = unwritable(folder)
    if problem:
        advice = "Name a place elsewhere with --output, or go to another folder."
        return note("current folder", f"{folder} cannot be written to: {problem}", advice)
    return _with_room("current folder", folder)


def _temporary() -> Finding:
    advice = "Set TMPDIR to a folder that can be written to."
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        return failed("temporary folder", f"there is none: {system_words(error)}", advice)
    problem = unwritable(folder)
    if problem:
        return failed("temporary folder", f"{folder} cannot be written to: {problem}", advice)
    return _with_room("temporary folder", folder)


def _cache() -> Finding:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    problem = unwritable(there)
    if problem or (folder.exists() and not folder.is_dir()):
        found = f"{folder} cannot be written to: {problem or 'it is a file'}"
        return note(
            "model cache", found, "To fetch models from the hub, set HF_HOME to a folder that can be written to."
        )
    return _with_room("model cache", there, "" if there == folder else f"{folder}, not there yet")


def _with_room(name: str, folder: Path, called: str = "") -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{called or folder}, {size(free)} free"
    if free < _ENOUGH:
        return note(name, found, "Make room on this disk: models and states of runs may not fit.")
    return ok(name, found)


def unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder, in the system's words; "" if something can. Leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return system_words(error)
    return ""
