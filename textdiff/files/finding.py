"""Where a path in a recipe leads."""

from __future__ import annotations

import os
from pathlib import Path

from textdiff.errors import DataError
from textdiff.files.naming import unusable


def find_file(name: str, folder: Path) -> Path:
    """A path that a file in `folder` names: as it is, beside that file, or in the folder that TEXTDIFF_DATA names.

    Raises:
        DataError: it is in none of these places.
    """
    if problem := unusable(name):
        raise DataError(f"{name} cannot be read: {problem}")
    places = [Path(), folder, *map(Path, filter(None, [os.environ.get("TEXTDIFF_DATA")]))]
    found = [place / name for place in places if (place / name).exists()]
    if not found:
        looked = ", ".join(str(place / name) for place in places)
        hint = "" if os.environ.get("TEXTDIFF_DATA") else "; TEXTDIFF_DATA is not set"
        raise DataError(f"{name} was not found (looked for {looked}{hint})")
    return found[0]
