"""The manifest of a checkpoint folder: what was written, and whether that is what is there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

from textdiff.errors import CheckpointError
from textdiff.files.reading import read_json, system_words, write_json

MANIFEST = "MANIFEST.json"
_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill"}
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def verify_folder(path: str | Path, root: str | Path | None = None) -> list[str]:
    """Compares a folder with its manifest. Returns one sentence a problem: an empty list means intact.

    Args:
        root: links may lead anywhere in here; by default only into the folder, or where it is a snapshot in the hub's cache,
            into the model's part of that.
    """
    folder = Path(path)
    inside = Path(os.path.realpath(_home_of(folder) if root is None else root))
    if not folder.is_dir():
        return ["there is no such folder"]
    if _leaves(folder / MANIFEST, inside):
        return [f"{MANIFEST}: a link that leaves the folder"]
    try:
        listed = read_manifest(folder)
    except CheckpointError as error:
        return [str(error)]
    present = files_in(folder)
    checked = ((name, _damage(listed.get(name), present.get(name), inside)) for name in sorted({*listed, *present}))
    return [f"{name}: {problem}" for name, problem in checked if problem]


def write_manifest(folder: Path) -> None:
    """Records the size and sha256 of every file in a folder."""
    entries = {name: {"size": f.stat().st_size, "sha256": sha256_of(f)} for name, f in sorted(files_in(folder).items())}
    write_json(folder / MANIFEST, {"format_version": 1, "files": entries})


def require_intact(path: str | Path, root: str | Path | None = None) -> None:
    """Verifies a folder.

    Raises:
        CheckpointError: it differs from its manifest; the sentence names the files and the checks that failed.
    """
    problems = verify_folder(path, root)
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise CheckpointError(f"{path} is not an intact checkpoint: {'; '.join(problems[:5])}{more}")


def files_in(folder: Path) -> dict[str, Path]:
    """Everything in a folder that is not a folder itself, links included and not followed; the manifest left out."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    found.pop(MANIFEST, None)
    return found


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 by file name.

    Raises:
        CheckpointError: there is no manifest, it is malformed, or it names a place outside the folder.
    """
    manifest = read_json(folder / MANIFEST)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        raise CheckpointError(f"{MANIFEST}: the mapping 'files' is missing")
    for name, entry in files.items():
        plain = PurePosixPath(name)
        if plain.is_absolute() or ".." in plain.parts or set(name) & {"\\", "\0", ":"}:
            raise CheckpointError(f"{MANIFEST}: {name!r} is not a plain path inside the folder")
        if not (isinstance(entry, dict) and type(entry.get("size")) is int and isinstance(entry.get("sha256"), str)):
            raise CheckpointError(f"{MANIFEST}: the entry of {name!r} needs a size and a sha256")
    return files


def _damage(entry: dict[str, Any] | None, file: Path | None, inside: Path) -> str | None:
    """What is wrong with one file of a folder, the cheap checks first."""
    if file is None:
        return "missing"
    if _leaves(file, inside):
        return "a link that leaves the folder"
    if not file.is_file():
        return "not a regular file"
    try:
        if _may_run_code(file):
            return "a pickle or an archive, which could run code when it is read"
        if entry is None:
            return "not in the manifest"
        if (size := file.stat().st_size) != entry["size"]:
            return f"{size:,} bytes, but {entry['size']:,} were written"
        return None if sha256_of(file) == entry["sha256"] else "its sha256 is not that of what was written"
    except OSError as error:
        return f"cannot be read: {system_words(error)}"


def _home_of(folder: Path) -> Path:
    """The hub's cache has models--OWNER--NAME/snapshots/REVISION, whose files are links to models--OWNER--NAME/blobs."""
    real = Path(os.path.realpath(folder))
    model = real.parent.parent
    return model if real.parent.name == "snapshots" and model.name.startswith("models--") else real


def _leaves(file: Path, inside: Path) -> bool:
    return not Path(os.path.realpath(file)).is_relative_to(inside)


def _may_run_code(file: Path) -> bool:
    """Whether a file is a pickle, by its name or by how it starts. Only safetensors may start like one by chance."""
    if file.suffix.lower() in _PICKLES or file.suffix == ".safetensors":
        return file.suffix != ".safetensors"
    with file.open("rb") as opened:
        return opened.read(4).startswith(_PICKLE_STARTS)


def sha256_of(file: Path) -> str:
    """The sha256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
