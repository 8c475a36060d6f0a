"""What a run's `log.jsonl` says of its course."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from textdiff.errors import DataError
from textdiff.files import system_words

LOG = "log.jsonl"
T = TypeVar("T")
LARGEST = 1e100
"""No figure of a run is larger, and no picture can show one that is."""


class Trained(NamedTuple):
    """A logged step: loss and NELBO of its batch in nats per token."""

    step: int
    loss: float
    nelbo: float
    learning_rate: float


class Scored(NamedTuple):
    """A held-out NELBO in nats per token, with its standard error (NaN where it is not known)."""

    step: int
    nelbo: float
    standard_error: float


@dataclass(frozen=True)
class History:
    """The course of a run, each part by rising steps.

    Attributes:
        trained: logged steps.
        evaluations: scores of a part of the held-out text, during training.
        finals: scores of the held-out text at the end; several if the run was prolonged.
        skipped: steps whose gradient was not finite.
    """

    trained: list[Trained]
    evaluations: list[Scored]
    finals: list[Scored]
    skipped: list[int]

    @property
    def last_step(self) -> int:
        return max((entry[0] for part in (self.trained, self.evaluations, self.finals) for entry in part), default=0)


def read_history(folder: Path) -> History:
    """Reads the log of a run. What was done again after a stop counts once, as it was done last.

    Lines that are none of ours, such as one that a crash cut, are passed over; figures that cannot be are unknown.

    Raises:
        DataError: there is no log, or no step in it.
    """
    trained: dict[int, Trained] = {}
    evaluations: dict[int, Scored] = {}
    finals: dict[int, Scored] = {}
    skipped: dict[int, int] = {}
    for record in _records(folder / LOG):
        event, step = record.get("event"), record.get("step")
        if not isinstance(step, int) or not 0 <= step <= LARGEST:
            continue
        if event == "start":  # from an older state, maybe: what had come after it is done anew
            parts: list[dict[int, Any]] = [trained, evaluations, finals, skipped]
            for part in parts:
                for late in [done for done in part if done > step]:
                    del part[late]
        elif event == "step":
            trained[step] = Trained(step, *(_number(record, key) for key in ("loss", "nelbo", "learning_rate")))
        elif event in ("evaluation", "final"):
            target = evaluations if event == "evaluation" else finals
            error = _number(record, "standard_error")
            target[step] = Scored(step, _number(record, "nelbo"), error if error >= 0 else math.nan)
        elif event == "skipped":
            skipped[step] = step
    if not (trained or evaluations or finals):
        raise DataError(f"{folder / LOG} has no step in it yet")
    return History(_in_order(trained), _in_order(evaluations), _in_order(finals), _in_order(skipped))


def _in_order(part: Mapping[int, T]) -> list[T]:
    return [part[step] for step in sorted(part)]


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict):
                    yield record
    except FileNotFoundError:
        raise DataError(f"{path.parent} holds no {LOG}; give the folder of a run") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {system_words(error)}") from None


def _number(record: Mapping[str, Any], key: str) -> float:
    """A figure of a record; NaN where there is none."""
    value = record.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return math.nan
    return float(value) if abs(value) <= LARGEST or abs(value) == math.inf else math.nan
