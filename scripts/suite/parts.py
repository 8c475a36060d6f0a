"""A folder as one archive in parts of bounded size, and back again, each part and the whole known by its sha256."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

MOST = 16 << 20
"""Bytes of a part."""
MANIFEST = "weights.json"


class PartsError(Exception):
    """Parts are missing or damaged; the text is one sentence for a person."""


def archive(folder: Path, target: Path) -> None:
    """Writes the files of a folder as a tar archive that says nothing of when and where it was made."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(info, file)


def split(file: Path, target: Path, most: int = MOST) -> dict[str, Any]:
    """Writes FILE.000, FILE.001, … to a folder; returns what `join` wants to know, as plain data."""
    target.mkdir(parents=True, exist_ok=True)
    parts, whole = [], hashlib.sha256()
    with file.open("rb") as source:
        while data := source.read(most):
            name = f"{file.name}.{len(parts):03}"
            (target / name).write_bytes(data)
            parts.append({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
            whole.update(data)
    return {"file": file.name, "size": file.stat().st_size, "sha256": whole.hexdigest(), "parts": parts}


def join(source: Path, target: Path) -> list[Path]:
    """Unpacks every archive that a folder holds in parts, each to TARGET/NAME; returns these folders.

    Raises:
        PartsError: a part is missing or not what the manifest says, or a folder is there already.
    """
    try:
        listed = json.loads((source / MANIFEST).read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise PartsError(f"{source / MANIFEST} cannot be read: {error}") from None
    made = []
    for entry in listed:
        folder = target / Path(entry["file"]).stem
        if folder.exists():
            raise PartsError(f"{folder} is there already; name another target")
        data = b"".join(_checked(source / Path(part["name"]).name, part) for part in entry["parts"])
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise PartsError(f"the parts of {entry['file']} are whole but together are not the file that was split")
        staging = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            # Python before 3.11.4 has no filters; the parts were verified, so that nothing but our own files is in them.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            tar.extractall(staging)
        staging.rename(folder)
        made.append(folder)
    return made


def _checked(path: Path, part: dict[str, Any]) -> bytes:
    if not path.is_file():
        raise PartsError(f"{path} is missing: bring all parts that {MANIFEST} lists")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise PartsError(f"{path} is damaged: its sha256 is not that of {MANIFEST}")
    return data
