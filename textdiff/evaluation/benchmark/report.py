"""The report of a benchmark as plain data: what `report.json` holds, and what pages and comparisons are made from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import textdiff
from textdiff.errors import DataError
from textdiff.evaluation.benchmark.metric import Figure
from textdiff.evaluation.benchmark.records import CellResult, figure_of, plain_figure
from textdiff.evaluation.benchmark.settings import Setting
from textdiff.evaluation.benchmark.suite import Suite
from textdiff.files import read_json, sha256_of
from textdiff.registry import name_of, to_config

SCHEMA = "textdiff.benchmark/1"
REPORT = "report.json"
_LARGEST = 256 << 20


@dataclass(frozen=True)
class ReportCell:
    """A cell in a report.

    Attributes:
        id, model, data, metric, setting: of the cell; `setting` is "" where nothing was drawn.
        kind: the registered name of the metric.
        sampler: the sampler's name in the suite, and `swept` the options that vary under it.
        figures: what was measured.
        skipped: why nothing could be, or None.
        seconds, device: how long it took, and where.
        command: measures the cell again.
    """

    id: str
    model: str
    data: str
    metric: str
    kind: str
    setting: str
    sampler: str
    swept: dict[str, float | str]
    figures: tuple[Figure, ...]
    skipped: str | None
    seconds: float
    device: str
    command: str

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return vars(self) | {"figures": [plain_figure(figure) for figure in self.figures]}


@dataclass(frozen=True)
class Report:
    """A benchmark's report.

    Attributes:
        title, description, version, seed: of the suite, and of textdiff.
        command: makes the report.
        models, data, samplers, metrics: what the suite names, with hashes, sizes, notes and all options.
        cells: what was measured.
    """

    title: str
    description: str
    version: str
    seed: int
    command: str
    models: tuple[dict[str, Any], ...]
    data: tuple[dict[str, Any], ...]
    samplers: tuple[dict[str, Any], ...]
    metrics: tuple[dict[str, Any], ...]
    cells: tuple[ReportCell, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"schema": SCHEMA} | vars(self) | {"cells": [cell.plain() for cell in self.cells]}


def make_report(suite: Suite, source: str, results: Sequence[CellResult]) -> Report:
    """A report of all cells of a suite; `source` is the suite's path, as its user gave it."""
    facts = {cell.model.name: result.facts for cell, result in zip(suite.cells(), results, strict=True)}
    return Report(
        title=suite.title,
        description=suite.description,
        version=textdiff.__version__,
        seed=suite.seed,
        command=_command(source),
        models=tuple({**to_config(entry), **facts[entry.name]} for entry in suite.models),
        data=tuple({**to_config(entry), **_sizes(entry.paths)} for entry in suite.data),
        samplers=tuple(to_config(entry) for entry in suite.samplers),
        metrics=tuple({"as": name} | to_config(metric) for name, metric in suite.named_metrics().items()),
        cells=tuple(
            ReportCell(
                id=cell.id,
                model=cell.model.name,
                data=cell.data.name,
                metric=cell.metric_name,
                kind=name_of(cell.metric),
                setting=cell.setting.id if cell.setting else "",
                sampler=cell.setting.name if cell.setting else "",
                swept=_swept(cell.setting),
                figures=result.figures,
                skipped=result.skipped,
                seconds=result.seconds,
                device=result.device,
                command=_command(source, "--cell", cell.id),
            )
            for cell, result in zip(suite.cells(), results, strict=True)
        ),
    )


def read_report(place: str | Path) -> Report:
    """A report from its file, or from the folder that it is in.

    Raises:
        DataError: there is none, or the file holds something else.
    """
    path = Path(place) / REPORT if Path(place).is_dir() else Path(place)
    found = read_json(path, _LARGEST, DataError)
    try:
        if found.pop("schema") != SCHEMA:
            raise ValueError(SCHEMA)
        cells = [ReportCell(**{**row, "figures": tuple(map(figure_of, row["figures"]))}) for row in found["cells"]]
        return Report(**{**found, "cells": tuple(cells)})
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{path} is not a report of `textdiff benchmark`") from None


def _swept(setting: Setting | None) -> dict[str, float | str]:
    return dict(setting.swept) if setting else {}


def _sizes(paths: Sequence[Path]) -> dict[str, Any]:
    return {"bytes": sum(path.stat().st_size for path in paths), "sha256": [sha256_of(path) for path in paths]}


def _command(source: str, *words: str) -> str:
    return shlex.join(["textdiff", "benchmark", source, *words])
