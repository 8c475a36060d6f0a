"""Recipes from YAML files, with overrides from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textdiff.errors import ConfigError
from textdiff.files import load_yaml, parse_yaml
from textdiff.recipe.recipe import Recipe
from textdiff.registry import build


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file.
        overrides: "a.b=value", the value in YAML. Another `name` for a component drops the options of the old one.

    Raises:
        ConfigError: the file or an override is wrong; the message gives the key, what was found and what is allowed.
    """
    values = load_yaml(path)
    for override in overrides:
        apply_override(values, override)
    try:
        return build(Recipe, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets one key, at any depth, in place."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"--set expects key=value such as training.max_steps=100, got {override!r}")
    *parents, last = path
    here = values
    for i, part in enumerate(parents):
        inner = here.get(part)
        if isinstance(inner, str):  # a component that was given by its name alone
            inner = {"name": inner}
        if not isinstance(inner, dict | None):
            raise ConfigError(f"--set {key}: {'.'.join(parents[: i + 1])} is {inner!r}, which has no keys")
        here[part] = dict(inner or {})
        here = here[part]
    value = parse_yaml(text, f"--set {key}") if text.strip() else ""
    if last == "name" and here.get("name") != value:
        here.clear()
    here[last] = value
