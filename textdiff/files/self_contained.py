"""A folder with a model holds all of the model, and asks for nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from textdiff.errors import CheckpointError
from textdiff.files.reading import read_object

_OWN_ATTENTION = ("eager", "sdpa")
WEIGHTS_INDEX = "model.safetensors.index.json"


def require_self_contained(folder: Path) -> None:
    """Reads what a model's files say of other code and other files. What they merely mention is not looked at.

    transformers takes attention and arithmetic from the hub where a configuration names them, the weights of an adapter's
    model from wherever the adapter says, and shards from wherever their index says.

    Raises:
        CheckpointError: something else than the folder's own files would be used.
    """
    config = folder / "config.json"
    for key, value in _entries(read_object(config)):
        if key.strip("_").removesuffix("_internal") == "attn_implementation":
            foreign = [v for v in _values(value) if v is not None and v not in _OWN_ATTENTION]
            if foreign:
                raise CheckpointError(
                    f"{config} asks for {foreign[0]!r:.100}, an attention from elsewhere; remove {key!r}"
                )
        if key == "quantization_config" and value is not None:
            raise CheckpointError(f"{config} describes quantised weights, which cannot be used")
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(f"{folder} holds an adapter of another model; merge the two, and save the result")
    _require_own_shards(folder)


def _require_own_shards(folder: Path) -> None:
    index = folder / WEIGHTS_INDEX
    shards = read_object(index).get("weight_map", {})
    names = {*map(str, shards.values())} if isinstance(shards, dict) else {str(shards)}
    for name in sorted(names):
        if PurePosixPath(name).name != name or name == ".." or "\\" in name:
            raise CheckpointError(f"{index}: {name!r:.100} is not the name of a file in the folder")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    left = [value]
    while left:
        here = left.pop()
        if isinstance(here, dict):
            yield from here.items()
            left += here.values()
        elif isinstance(here, list):
            left += here


def _values(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else [value]
