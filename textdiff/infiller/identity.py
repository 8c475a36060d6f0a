"""Which files a model is loaded from."""

from __future__ import annotations

import hashlib

from textdiff.files import MANIFEST, sha256_of
from textdiff.infiller.loading import find_model

_FILES = {".json", ".txt", ".model", ".safetensors", ".bin", ".h5"}


def fingerprint(model: str) -> str:
    """Stands for the files that a model is loaded from: other weights have another one.

    Raises:
        CheckpointError: there is no such model.
    """
    folder = find_model(model)
    if (folder / MANIFEST).is_file():  # has the sha256 of all others in it, and loading compares
        return sha256_of(folder / MANIFEST)
    files = sorted(path for path in folder.glob("*") if path.suffix in _FILES and path.is_file())
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in files).encode()).hexdigest()
