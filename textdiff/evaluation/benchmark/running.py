"""Runs a suite, a cell at a time. A cell is written when it is done, so that a run that ends early loses one at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from textdiff.errors import TextdiffError, UsageError, nearest
from textdiff.evaluation.benchmark.identity import claim, identity
from textdiff.evaluation.benchmark.metric import Figure, Subject
from textdiff.evaluation.benchmark.records import CellResult, read_cell, write_cell
from textdiff.evaluation.benchmark.suite import Cell, Suite
from textdiff.evaluation.signing import model_parts
from textdiff.infiller import Infiller, load

Load = Callable[[str], Infiller]
Notice = Callable[[Cell, CellResult | None, str], None]


class Models:
    """Models as they are asked for; one is in memory at a time."""

    def __init__(self, open_model: Load = load) -> None:
        self._load, self._name = open_model, ""
        self._infiller: Infiller | None = None

    def get(self, name: str) -> Infiller:
        if self._infiller is None or name != self._name:
            self._infiller = None  # before the next one comes
            self._infiller, self._name = self._load(name), name
        return self._infiller


def run_suite(
    suite: Suite,
    folder: Path,
    open_model: Load = load,
    on_cell: Notice = lambda cell, result, doing: None,
) -> list[CellResult]:
    """Measures all cells that are not yet in the folder.

    Args:
        suite: what to measure.
        folder: where the results are kept; the same suite goes on there, another one is refused.
        open_model: loads a model.
        on_cell: told of each cell: first without a result and with what is being done, then with its result.

    Raises:
        ConfigError: the folder is that of another suite.
        TextdiffError: a cell cannot be measured; the sentence names it, and all that are done are kept.
    """
    claim(folder, identity(suite))
    models = Models(open_model)
    results = []
    for cell in suite.cells():
        path = folder / "cells" / f"{cell.id.replace('/', '+')}.json"
        found = read_cell(path, cell.id)
        if found is None:
            on_cell(cell, None, "")
            found = measure_cell(suite, cell, models, partial(on_cell, cell, None))
            write_cell(path, found)
        on_cell(cell, found, "")
        results.append(found)
    return results


def measure_cell(
    suite: Suite, cell: Cell, models: Models, on_progress: Callable[[str], None] = lambda doing: None
) -> CellResult:
    """Measures one cell.

    Raises:
        TextdiffError: it cannot be measured; the sentence names the cell.
    """
    try:
        infiller = models.get(cell.model.model)
        subject = Subject(
            infiller, cell.data.paths, cell.data.unit, cell.data.column, cell.setting, suite.seed, on_progress
        )
        began = time.perf_counter()
        figures, skipped = _measured(cell, subject)
        seconds = time.perf_counter() - began
        return CellResult(
            cell.id, figures, skipped, model_facts(infiller), round(seconds, 2), str(infiller.model.device)
        )
    except TextdiffError as error:
        raise type(error)(f"{cell.id}: {error}") from None


def _measured(cell: Cell, subject: Subject) -> tuple[tuple[Figure, ...], str | None]:
    """The figures, or why there are none."""
    try:
        return tuple(cell.metric.measure(subject)), None
    except UsageError as error:
        return (), str(error)


def model_facts(infiller: Infiller) -> dict[str, Any]:
    """What a report says of a model."""
    parts = model_parts(infiller)
    known = {key: parts[key] for key in ("process", "tokenizer", "context")}
    return {"weights": parts["model"], **known, "parameters": sum(p.numel() for p in infiller.model.parameters())}


def find_cell(suite: Suite, name: str) -> Cell:
    """The cell of this name.

    Raises:
        UsageError: there is none.
    """
    cells = {cell.id: cell for cell in suite.cells()}
    if name not in cells:
        raise UsageError(f"the suite has no cell {name!r}.{nearest(name, cells)} `--dry-run` lists all {len(cells)}")
    return cells[name]
