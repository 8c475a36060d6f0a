"""Models for commands, without the noise that libraries make."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textdiff.infiller import Infiller


_MODEL_FILES = {".json", ".txt", ".model", ".safetensors", ".bin", ".h5"}


def hush() -> None:
    """Switches the notices of transformers off: what matters in them is said by our own errors."""
    from transformers.utils import logging

    logging.set_verbosity_error()


def load_infiller(model: str, device: str | None = None) -> Infiller:
    """`textdiff.load`, quietly."""
    hush()
    from textdiff.infiller import load

    return load(model, device)


def fingerprint(model: str) -> str:
    """Stands for the files that a model is loaded from: other weights have another one.

    Raises:
        CheckpointError: there is no such model.
    """
    import hashlib

    from textdiff.files import MANIFEST, sha256_of
    from textdiff.infiller import find_model

    folder = find_model(model)
    if (folder / MANIFEST).is_file():  # has the sha256 of all others in it, and loading compares
        return sha256_of(folder / MANIFEST)
    files = sorted(path for path in folder.glob("*") if path.suffix in _MODEL_FILES and path.is_file())
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in files).encode()).hexdigest()
