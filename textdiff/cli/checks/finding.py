"""What a check is asked for, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "note", "failed"]


@dataclass(frozen=True)
class Asked:
    """What the checks are to look at.

    Attributes:
        model: its name, as for `textdiff.load`.
        offline: whether a model of the hub must be in the cache, as there will be no network.
    """

    model: str = "default"
    offline: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        status: `ok`; `note`, worth knowing; or `failed`, something that textdiff promises cannot be had.
        found: what is the case.
        advice: what to do about it, a sentence; None where nothing need be done.
        line: findings that are ok and have the same one share a line of the page.
        error: what went wrong, where nobody had thought of it.
    """

    name: str
    status: Status
    found: str
    advice: str | None = None
    line: str = ""
    error: Exception | None = field(default=None, compare=False)

    def plain(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {"name": self.name, "status": self.status, "found": self.found, "advice": self.advice}


def ok(name: str, found: str, line: str = "") -> Finding:
    """All is well."""
    return Finding(name, "ok", found, line=line)


def note(name: str, found: str, advice: str) -> Finding:
    """Something that a person may want to know or change."""
    return Finding(name, "note", found, advice)


def failed(name: str, found: str, advice: str, error: Exception | None = None) -> Finding:
    """Something does not work."""
    return Finding(name, "failed", found, advice, error=error)


def size(count: int) -> str:
    """So many bytes, for a person."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if count >= 1 << power:
            return f"{count / (1 << power):,.1f} {unit}"
    return f"{count:,} bytes"
