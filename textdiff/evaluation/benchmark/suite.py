"""A benchmark suite: which models are measured on which texts, by which metrics, with which samplers. A YAML file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textdiff.corpus import Unit, require_file
from textdiff.errors import ConfigError, DataError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric
from textdiff.evaluation.benchmark.settings import SamplerEntry, Setting
from textdiff.files import find_file, load_yaml
from textdiff.registry import build, name_of

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}")


@dataclass(frozen=True)
class ModelEntry:
    """A model of a suite.

    Attributes:
        name: what the report calls it.
        model: as `textdiff.load` takes it. A relative path is looked for as in recipes: here, beside the suite, and in
            TEXTDIFF_DATA.
        note: what a reader should know of it.
    """

    name: str
    model: str
    note: str = ""


@dataclass(frozen=True)
class DataEntry:
    """Texts of a suite.

    Attributes:
        name: what the report calls them.
        files: a file or several; relative paths as in recipes.
        unit, column: see `load_corpus`.
        note: what a reader should know of them, such as whether a model was trained on them.
    """

    name: str
    files: str | tuple[str, ...]
    unit: Unit = "file"
    column: str = "text"
    note: str = ""

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [Path(name) for name in ([self.files] if isinstance(self.files, str) else self.files)]


@dataclass(frozen=True)
class Suite:
    """A benchmark suite. The fields are the keys of the YAML file.

    Attributes:
        models, data, metrics: each metric is measured for each model on each of the texts.
        samplers: with which those metrics are measured that draw from a model; by default the model's own.
        title: of the report.
        description: what it is for, and what it costs.
        seed: of all randomness.
    """

    models: tuple[ModelEntry, ...]
    data: tuple[DataEntry, ...]
    metrics: tuple[BenchmarkMetric, ...]
    samplers: tuple[SamplerEntry, ...] = (SamplerEntry("default"),)
    title: str = "A benchmark"
    description: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("models", "data", "samplers"):
            _check_names(key, [entry.name for entry in getattr(self, key)])
        if not self.metrics:
            raise ConfigError("metrics must list at least one")
        self.settings()

    def settings(self) -> list[Setting]:
        """The samplers, each combination of options by itself."""
        found: list[Setting] = []
        for number, entry in enumerate(self.samplers):
            try:
                found += entry.settings()
            except ConfigError as error:
                raise ConfigError(f"samplers[{number}]: {error}") from None
        return found

    def cells(self) -> Iterator[Cell]:
        """All that is to be measured, model by model."""
        metrics, settings = self.named_metrics(), self.settings()
        for model in self.models:
            for data in self.data:
                for name, metric in metrics.items():
                    for setting in metric.settings(settings):
                        yield Cell(model, data, name, metric, setting)

    def named_metrics(self) -> dict[str, BenchmarkMetric]:
        """The metrics by name; where one is asked for with several options, numbered."""
        found: dict[str, BenchmarkMetric] = {}
        seen: Counter[str] = Counter()
        for metric in self.metrics:
            name = name_of(metric)
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name}-{seen[name]}"] = metric
        return found


@dataclass(frozen=True)
class Cell:
    """One thing to measure."""

    model: ModelEntry
    data: DataEntry
    metric_name: str
    metric: BenchmarkMetric
    setting: Setting | None

    @property
    def id(self) -> str:
        """Stands for it: the names of its parts."""
        parts = [self.model.name, self.data.name, self.metric_name, *([self.setting.id] if self.setting else [])]
        return "/".join(parts)


def load_suite(path: str | Path) -> Suite:
    """Reads a suite; the paths in it become those of files that are there.

    Raises:
        ConfigError: the file is wrong; the message gives the key, what was found and what is allowed.
        DataError: a file that it names cannot be read.
    """
    folder = Path(path).parent
    values = load_yaml(path)
    _locate_samplers(values.get("samplers"), folder)
    try:
        suite = build(Suite, values)
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    models = tuple(replace(entry, model=_model(entry.model, folder)) for entry in suite.models)
    data = tuple(replace(entry, files=_files(map(str, entry.paths), folder)) for entry in suite.data)
    return replace(suite, models=models, data=data, metrics=tuple(_located(m, folder) for m in suite.metrics))


def _files(names: Iterable[str], folder: Path) -> tuple[str, ...]:
    found = [_plain(find_file(name, folder)) for name in names]
    for path in found:
        require_file(path)
    return tuple(map(str, found))


def _located(metric: BenchmarkMetric, folder: Path) -> BenchmarkMetric:
    """The metric with the places of what its fields name."""
    found: dict[str, Any] = {field: _files(metric.named(field), folder) for field in metric.files}
    found |= {field: _model(name, folder) for field in metric.models for name in metric.named(field)}
    return replace(metric, **found) if found else metric  # type: ignore[type-var]  # its members are dataclasses


def _locate_samplers(entries: Any, folder: Path) -> None:
    """Puts the places of files for their names, before anything is built of them."""
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("sampler") if isinstance(entry, dict) else None
        if isinstance(name, str) and name.lower().endswith((".yaml", ".yml")):
            entry["sampler"] = str(_plain(find_file(name, folder)))


def _plain(path: Path) -> Path:
    """The path without its "..", unless links give them another meaning."""
    short = Path(os.path.normpath(path))
    return short if short.exists() and short.samefile(path) else path


def _model(name: str, folder: Path) -> str:
    if name == "default":
        return name
    try:
        return str(_plain(find_file(name, folder)))
    except DataError:  # a name on the hub, or nothing: loading says so
        return name


def _check_names(key: str, names: Sequence[str]) -> None:
    if not names:
        raise ConfigError(f"{key} must list at least one")
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{key}[{number}].name: expected letters, digits, '_', '.' and '-', at most 60 of them, got {name!r:.80}"
            )
    twice, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ConfigError(f"{key}: the name {twice!r} stands twice")
