"""What the figures in a benchmark's folder belong to: another suite, model, text or version must not mix with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import textdiff
from textdiff.errors import ConfigError, DataError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric
from textdiff.evaluation.benchmark.suite import Suite
from textdiff.files import atomic_write, read_json, sha256_of
from textdiff.infiller import fingerprint
from textdiff.infiller.samplers import sampler_of
from textdiff.registry import to_config

SCHEMA = "textdiff.benchmark-suite/1"
SUITE = "suite.json"


def identity(suite: Suite) -> dict[str, Any]:
    """The suite as plain data, with a sha256 of all files that it names.

    Raises:
        CheckpointError: there is no such model.
        DataError: a text is gone.
    """
    outside = {name: found for name, metric in suite.named_metrics().items() if (found := _outside(metric))}
    return {
        "schema": SCHEMA,
        "version": textdiff.__version__,
        "suite": _without_places(suite),
        "models": {entry.name: fingerprint(entry.model) for entry in suite.models},
        "data": {entry.name: {path.name: sha256_of(path) for path in entry.paths} for entry in suite.data},
        "samplers": {e.name: to_config(sampler_of(e.sampler)) for e in suite.samplers if e.sampler is not None},
        **({"metrics": outside} if outside else {}),
    }


def _outside(metric: BenchmarkMetric) -> dict[str, list[str]]:
    """A sha256 of all files and models that a metric names, by field."""
    files = {field: [*map(sha256_of, map(Path, metric.named(field)))] for field in metric.files}
    models = {field: [*map(fingerprint, metric.named(field))] for field in metric.models}
    return {field: found for field, found in {**files, **models}.items() if found}


def _without_places(suite: Suite) -> dict[str, Any]:
    """The suite as plain data, but for where the files that it names lie: what is in them stands for them."""
    plain: dict[str, Any] = to_config(suite)
    for key, place in (("models", "model"), ("data", "files"), ("samplers", "sampler")):
        for entry in plain[key]:
            del entry[place]
    for metric, entry in zip(suite.metrics, plain["metrics"], strict=True):
        for field in (*metric.files, *metric.models):
            del entry[field]
    return plain


def claim(folder: Path, own: Mapping[str, Any]) -> None:
    """Makes a folder that of a suite, or finds that it is.

    Raises:
        ConfigError: it is that of another one; the sentence names the first difference.
        DataError: the folder cannot be written, or its suite cannot be read.
    """
    path = folder / SUITE
    if path.is_file():
        if difference := _difference(read_json(path, error=DataError), json.loads(json.dumps(own))):
            raise ConfigError(
                f"{folder} holds figures of another suite ({difference}); choose another folder with --output, or remove it"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds files that are no benchmark; choose another folder with --output")
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}") from None
    atomic_write(path, (json.dumps(own, indent=1, ensure_ascii=False) + "\n").encode())


def _difference(old: Any, new: Any, path: str = "") -> str:
    """The first place where two values differ, in words, or "" where there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if found := _difference(old.get(key), new.get(key), f"{path}.{key}" if path else key):
                return found
        return ""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return next(
            filter(None, (_difference(*pair, f"{path}[{i}]") for i, pair in enumerate(zip(old, new, strict=True)))), ""
        )
    return "" if old == new else f"{path}: {_short(old)} there, {_short(new)} here"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
