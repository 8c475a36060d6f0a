"""One key of plain data, changed from the command line."""

from __future__ import annotations

from typing import Any

from textdiff.errors import ConfigError
from textdiff.files.yaml_reader import parse_yaml


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
