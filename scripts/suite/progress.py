"""What of the suite is done: plain data in one file, written after every change."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "done", "failed", "skipped"]


@dataclass
class Record:
    """A task so far.

    Attributes:
        state: `waiting` until it has ended for good.
        seconds: that it has run, in all slices.
        slices: in how many of them it ran.
        fruitless: how many in a row brought it nowhere.
        begun: slices in a row that it was begun in and neither it nor they came to an end, as where a machine goes down.
        message: why it failed or was left out; else "".
        result: what it found, plain data.
        notes: what its next slice must know.
    """

    state: State = "waiting"
    seconds: float = 0.0
    slices: int = 0
    fruitless: int = 0
    begun: int = 0
    message: str = ""
    result: Any = None
    notes: dict[str, Any] = field(default_factory=dict)


class Progress:
    """The records of all tasks, by name."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        found = json.loads(path.read_text(encoding="utf8")) if path.exists() else {"settings": settings}
        if found["settings"] != settings:
            changed = sorted(k for k in settings if found["settings"].get(k) != settings[k])
            raise SystemExit(f"{path} is of a run with other {', '.join(changed)}; choose another --work")
        self.settings = settings
        self.slices: int = found.get("slices", 0)
        self.delivered: list[str] = found.get("delivered", [])
        self.records = {name: Record(**record) for name, record in found.get("tasks", {}).items()}

    def of(self, name: str) -> Record:
        """The record of a task; a new one where there is none."""
        return self.records.setdefault(name, Record())

    def plain(self) -> dict[str, Any]:
        """All of it."""
        tasks = {name: asdict(record) for name, record in self.records.items()}
        return {"settings": self.settings, "slices": self.slices, "delivered": self.delivered, "tasks": tasks}

    def save(self) -> None:
        """To the disk, whole or not at all."""
        write_json(self._path, self.plain())


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.tmp")
    staging.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")
    staging.replace(path)
