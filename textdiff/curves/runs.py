"""Runs side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.curves.history import History, read_history
from textdiff.curves.noise import NoiseCurve, read_noise
from textdiff.errors import TextdiffError
from textdiff.files import load_yaml


@dataclass(frozen=True)
class Run:
    """A run that can be drawn.

    Attributes:
        name: short, and no other run's.
        history: its course.
        noise: what its held-out text costs by noise level, if that was measured.
        recipe: what it was made of, as far as that is known.
    """

    name: str
    history: History
    noise: NoiseCurve | None
    recipe: dict[str, Any]


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads the folders of runs.

    Raises:
        DataError: one of them is none, or has no step yet.
    """
    names = _names(folders)
    return [
        Run(name, read_history(folder), read_noise(folder), _recipe(folder))
        for name, folder in zip(names, folders, strict=True)
    ]


def differences(runs: Sequence[Run]) -> list[str]:
    """What must be alike for nats per token to be compared, and is not, as far as the recipes say."""
    asked = [_measured_on(run.recipe) for run in runs if run.recipe]
    return [what for what in asked[0] if len({one[what] for one in asked}) > 1] if asked else []


def _measured_on(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What figures of held-out text depend on besides the network and its training."""
    data = recipe.get("data")
    if isinstance(data, dict) and data.get("validation"):  # what was trained on is the run's own affair
        data = {key: data.get(key) for key in ("validation", "unit", "column", "encoding")}
    found = {"held-out text": data} | {key: recipe.get(key) for key in ("tokenizer", "process", "context_length")}
    return {key.replace("_", " "): json.dumps(value, sort_keys=True) for key, value in found.items()}


def _recipe(folder: Path) -> dict[str, Any]:
    try:
        return load_yaml(folder / "recipe.yaml")
    except TextdiffError:
        return {}


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths: as few as tell all of them apart."""
    whole = [folder.resolve().parts for folder in folders]
    longest = max(map(len, whole), default=1)
    for count in range(1, longest + 1):
        names = ["/".join(parts[-count:]) for parts in whole]
        if len({*names}) == len({*whole}):
            break
    return names
