"""What was measured of a model that has no room of its own for it: a file beside its weights."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.errors import TextdiffError
from textdiff.files import atomic_write

_WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class Shelf:
    """A file of facts about a model, worth nothing once the weights are others, and never needed.

    Attributes:
        folder: the model's.
        name: of the file.
    """

    folder: Path
    name: str

    def get(self) -> dict[str, Any]:
        """The facts; {} where there are none for these weights."""
        try:
            found = json.loads((self.folder / self.name).read_bytes())
            return dict(found["facts"]) if found["weights"] == self._weights() else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def put(self, facts: dict[str, Any]) -> None:
        """Keeps them, where the folder can be written."""
        data = json.dumps({"weights": self._weights(), "facts": facts}).encode()
        with contextlib.suppress(OSError, TextdiffError):
            atomic_write(self.folder / self.name, data)

    def _weights(self) -> list[list[Any]]:
        """Names, sizes and times of the files with weights."""
        files = sorted(path for path in self.folder.iterdir() if path.suffix in _WEIGHTS)
        return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
