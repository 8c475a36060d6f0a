"""Bounded, strict reading of small files, and the writing that it reads back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from textdiff.errors import CheckpointError, TextdiffError


def read_bytes(path: str | Path, limit: int, error: type[TextdiffError]) -> bytes:
    """All bytes of a file of at most ``limit`` bytes; what is wrong with it becomes an ``error``."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {system_words(problem)}") from None
    if len(data) > limit:
        raise error(f"{path} is larger than the {limit:,} bytes that are read at most")
    return data


def read_json(path: str | Path, limit: int = 16 << 20, error: type[TextdiffError] = CheckpointError) -> Any:
    """Plain data from a JSON file, read strictly.

    Raises:
        error: it is missing, too large, not UTF-8, not JSON, holds NaN, or a key stands twice in a mapping.
    """
    data = read_bytes(path, limit, error)
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise error(f"{path} is not usable JSON: it is nested too deeply") from None
    except ValueError as problem:
        raise error(f"{path} is not usable JSON: {problem}") from None


def read_object(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file; {} where there is no file.

    Raises:
        CheckpointError: it is something else.
    """
    found = read_json(path) if Path(path).exists() else {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return found


def write_json(path: str | Path, value: Any) -> None:
    """Writes plain data as JSON: the same data gives the same bytes."""
    Path(path).write_bytes((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def system_words(error: Exception) -> str:
    """The system's own words without number and path."""
    words = error.strerror if isinstance(error, OSError) else None
    return (words or str(error)).lower()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number")
