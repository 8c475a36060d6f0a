"""The recipe that goes on from a model: what is the model's stays, the rest has sensible defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textdiff.errors import ConfigError
from textdiff.files import apply_override
from textdiff.infiller import Checkpoint
from textdiff.infiller.transplant import transplanted
from textdiff.recipe.recipe import DataConfig, Recipe, TokenizerConfig
from textdiff.recipe.texts import Texts
from textdiff.registry import build, to_config

_PASSES = 4
_LONGEST = 256
"""Tokens of a sample, also where the model could read more: attention to more costs a small machine dearly, and gaps little."""
_ROWS = 16
_PATIENCE = 3
_OF_THE_MODEL = ("process", "backbone", "tokenizer", "prediction")


def with_tokenizer(
    start: Checkpoint, wanted: TokenizerConfig, files: Sequence[str], overrides: Sequence[str] = ()
) -> Checkpoint:
    """The model to start from, for a tokenizer of its texts' own; see `transplanted`.

    Args:
        start: the model.
        wanted: the tokenizer, to be loaded or trained on the texts.
        files, overrides: as for `finetuning_recipe`.

    Raises:
        ConfigError: an override of `data` is wrong, or the model or the tokenizer cannot be used so.
        DataError: a file cannot be used.
    """
    values: dict[str, Any] = {"data": {"train": [*files]}}
    for override in overrides:
        if override.lstrip().startswith("data."):
            apply_override(values, override)
    data = build(DataConfig, values["data"], "data")
    tokenizer = Texts(data, Path()).tokenizer(data.train, wanted)
    if tokenizer.vocabulary.mask_id is None:
        raise ConfigError("this tokenizer has no mask, which filling needs; take another one")
    return transplanted(start, tokenizer)


def finetuning_recipe(
    start: Checkpoint,
    model: str,
    files: Sequence[str],
    overrides: Sequence[str] = (),
    tokenizer: TokenizerConfig | None = None,
) -> Recipe:
    """A recipe for fine-tuning.

    The number of steps gives `_PASSES` passes over the text, but at least 100 and at most 2000 steps.

    Args:
        start: the model to start from.
        model: its name, which the recipe records.
        files: the text; see `load_corpus`.
        overrides: "a.b=value", as for `load_recipe`.
        tokenizer: of the recipe, where it is not the model's own; see `with_tokenizer`.

    Raises:
        ConfigError: an override is wrong, changes what is the model's, or asks for a longer context than it has.
        DataError: a file cannot be used.
    """
    values = _defaults(start, model, files)
    if tokenizer is not None:
        values["tokenizer"] = to_config(tokenizer)
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.split(".")[0] in _OF_THE_MODEL:
            raise ConfigError(f"--set {key}: this is the model's own, and fine-tuning cannot change it")
        apply_override(values, override)
    data = build(DataConfig, values["data"], "data")
    if data.pairs is not None or start.model.config.target_length is not None:
        raise ConfigError("pairs of sources and targets are not fine-tuned on; train on them with a recipe")
    training = values["training"]
    if isinstance(training, dict) and "max_steps" not in training:
        training["max_steps"] = _steps(start, data, values, training)
    _follow_steps(training)
    recipe = build(Recipe, values)
    if recipe.context_length > start.model.config.context_length:
        longest = start.model.config.context_length
        raise ConfigError(f"context_length must be at most the model's {longest}, got {recipe.context_length}")
    return recipe


def _defaults(start: Checkpoint, model: str, files: Sequence[str]) -> dict[str, Any]:
    config = start.model.config
    gaps = [{"name": "gaps", "share": 0.5}, {"name": "lengths", "share": 0.3}, {"name": "whole", "share": 0.2}]
    plain = [{"name": "whole", "share": 0.5}, {"name": "prefix", "share": 0.5}]
    return {
        "description": f"Fine-tuned from {model}.",
        "context_length": min(config.context_length, _LONGEST),
        "data": {"train": [*files], "separate_documents": config.separate_documents},
        "tokenizer": {"path": model},
        "process": to_config(start.model.process),
        "backbone": to_config(start.model.backbone.config),
        "prediction": config.prediction,
        "tasks": plain if start.tokenizer.vocabulary.filler_id is None else gaps,
        "samplers": to_config(start.samplers),
        "training": {
            "learning_rate": 3e-4,
            "per_device_train_batch_size": _ROWS,
            "early_stopping_patience": _PATIENCE,
            "load_best_model_at_end": True,
        },
    }


def _steps(start: Checkpoint, data: DataConfig, values: dict[str, Any], training: dict[str, Any]) -> int:
    """So many steps that every token is seen `_PASSES` times, within the bounds."""
    tokens = len(Texts(data, Path()).ids(data.train, start.tokenizer, aloud=False))
    rows = training.get("global_batch_size") or training["per_device_train_batch_size"]
    length = values["context_length"]
    if not (isinstance(rows, int) and isinstance(length, int) and rows > 0 and length > 0):
        return 100  # `build` says what is wrong
    return min(2000, max(100, _PASSES * tokens // (rows * length)))


def _follow_steps(training: Any) -> None:
    """Warm-up and the intervals that nobody set follow the number of steps."""
    steps = training.get("max_steps") if isinstance(training, dict) else None
    if isinstance(steps, int):
        training.setdefault("warmup_steps", max(1, steps // 20))
        training.setdefault("eval_steps", max(1, steps // 10))
        training.setdefault("save_steps", max(1, steps // 5))
