"""Whether a saved state belongs to a run: plain data that must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textdiff.errors import ConfigError

_MOST = 5
_MISSING = "nothing"


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], whose: str) -> None:
    """Compares what a state was made with and what a run is made of, as far as the latter says.

    Raises:
        ConfigError: they differ; the sentence names the keys, what was and what is.
    """
    was, is_ = flat(before), flat(now)
    roots = {key.partition(".")[0] for key in is_}
    keys = sorted(key for key in {*was, *is_} if key.partition(".")[0] in roots and was.get(key) != is_.get(key))
    if keys:
        shown = [f"{key} was {was.get(key, _MISSING)!r} and is {is_.get(key, _MISSING)!r}" for key in keys[:_MOST]]
        more = f", and {len(keys) - _MOST} more" if len(keys) > _MOST else ""
        raise ConfigError(
            f"{whose} is of another run: {'; '.join(shown)}{more}. Choose another --output, or undo the change"
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
