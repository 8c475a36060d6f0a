"""Recipes from YAML files, with overrides from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textdiff.errors import ConfigError
from textdiff.files import apply_override, load_yaml
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
