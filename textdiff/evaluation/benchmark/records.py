"""Cells of a benchmark as files: written whole or not at all, and read back strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.errors import DataError
from textdiff.evaluation.benchmark.metric import Figure
from textdiff.files import atomic_write, read_json
from textdiff.metrics import Score

_LARGEST = 64 << 20


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes:
        id: of the cell.
        figures: what was measured.
        skipped: why nothing could be, or None.
        facts: of the model.
        seconds, device: how long it took, and where.
    """

    id: str
    figures: tuple[Figure, ...]
    skipped: str | None
    facts: dict[str, Any]
    seconds: float
    device: str

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return vars(self) | {"figures": [plain_figure(figure) for figure in self.figures]}


def plain_figure(figure: Figure) -> dict[str, Any]:
    """A figure as JSON takes it, with its 95 % interval, and whether it is `exact`; numbers that are not finite are None."""
    score = figure.score
    interval = list(score.interval) if score.interval is not None and math.isfinite(score.value) else None
    more = {"interval": interval, "exact": score.standard_error is None}
    return score.plain() | more | {"group": figure.group, "way": figure.way, "axis": figure.axis, "at": figure.at}


def figure_of(row: Mapping[str, Any]) -> Figure:
    """The inverse of `plain_figure`: what is not known is NaN, and an error that is not is infinite."""
    value, error = row["value"], row["standard_error"]
    score = Score(
        name=row["name"],
        value=math.nan if value is None else float(value),
        unit=row["unit"],
        n=int(row["n"]),
        standard_error=None if row["exact"] else math.inf if error is None else float(error),
        signature=row["signature"],
        degrees_of_freedom=row.get("degrees_of_freedom"),
    )
    return Figure(score, row["group"], row["way"], row["axis"], row["at"])


def write_cell(path: Path, result: CellResult) -> None:
    """Writes a cell in one step.

    Raises:
        DataError: the file cannot be written.
        ResourceError: the disk is full.
    """
    atomic_write(path, (json.dumps(result.plain(), ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_cell(path: Path, cell: str) -> CellResult | None:
    """A cell's result, or None if it is not there.

    Raises:
        DataError: the file holds something else.
    """
    if not path.is_file():
        return None
    row = read_json(path, _LARGEST, DataError)
    try:
        if row["id"] != cell:
            raise ValueError(cell)
        return CellResult(**{**row, "figures": tuple(map(figure_of, row["figures"]))})
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path} is not what `textdiff benchmark` writes there; remove it") from None
