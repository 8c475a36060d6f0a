"""How far lengths are off."""

from __future__ import annotations

from collections.abc import Iterable


def length_excess(size: int, references: Iterable[int]) -> int:
    """How much too long something is, against the reference that is nearest in length; negative where it is too short."""
    return min((size - reference for reference in references), key=abs)
