"""A run's folder: whether a run may begin there, and which of its states it goes on from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from textdiff.errors import CheckpointError, ConfigError, TextdiffError
from textdiff.files import (
    atomic_write,
    clean_stale,
    dump_yaml,
    load_yaml,
    parse_yaml,
    read_json,
    require_intact,
    require_place,
    require_replaceable,
    system_words,
    unusable,
    verify_folder,
)
from textdiff.infiller import Checkpoint
from textdiff.recipe.recipe import Recipe
from textdiff.registry import to_config
from textdiff.training import is_main_process, is_over, process_count, require_same, saved_progress, state_folders

# What may change between a run and its continuation.
_FREE_TO_CHANGE = {"description", "card", "samplers"}
_FREE_IN_TRAINING = {
    "max_steps", "learning_rate", "warmup_steps", "lr_scheduler_type", "decay_share", "eval_steps", "save_steps",
    "logging_steps", "eval_windows", "save_total_limit", "save_failure", "max_skipped_steps", "ema_decay", "report_to",
    "per_device_train_batch_size", "gradient_accumulation_steps", "global_batch_size", "gradient_checkpointing",
    "torch_compile", "fsdp", "dataloader_num_workers", "early_stopping_patience",
}  # fmt: skip

_LOG_BEGINS = b'{"event": "'


def say(message: str) -> None:
    """Tells a person something, on stderr, once for all processes."""
    if is_main_process():
        print(message, file=sys.stderr, flush=True)


def recipe_fingerprint(recipe: Recipe) -> dict[str, Any]:
    """What must stay the same in a run. Of the batch that is its size over all processes: samples are numbered over it,
    so that it may be shared out anew."""
    plain = {k: v for k, v in to_config(recipe).items() if k not in _FREE_TO_CHANGE}
    plain["training"] = {k: v for k, v in plain["training"].items() if k not in _FREE_IN_TRAINING}
    plain["samples_per_step"] = recipe.training.samples_per_step(process_count())
    return dict(json.loads(json.dumps(plain)))


def state_to_resume(recipe: Recipe, output: Path, resume: str) -> Path | None:
    """The state to go on from. All that can be refused before anything is computed is refused here.

    Raises:
        ConfigError: the folder cannot be one of this run.
        CheckpointError: the state that was asked for, or every state there is, is damaged.
    """
    require_usable(output)
    if is_main_process():
        for left in clean_stale(output / "state"):
            say(f"{left} was left half-written by a run that died, and is removed")
    state, damaged = _chosen(output, resume)
    if state is None:
        _require_no_other_recipe(output)
        return None
    require_same(read_json(state / "state.json")["fingerprint"], recipe_fingerprint(recipe), str(state))
    for folder, problem in damaged.items():  # only now: those of another run are left as they are
        _set_aside(folder, problem)
    return state


def begin(output: Path, recipe: Recipe) -> None:
    """Makes the folder, and writes the whole recipe into it."""
    if not is_main_process():
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{output} cannot be made: {system_words(error)}") from None
    atomic_write(output / "recipe.yaml", dump_yaml(to_config(recipe)).encode())


def finished(recipe: Recipe, state: Path, output: Path) -> Checkpoint | None:
    """The model of a run that had come to its end, if it is there and whole."""
    if not (output / "model" / "metrics.json").is_file() or verify_folder(output / "model"):
        return None
    if not is_over(recipe.training, saved_progress(state)):
        return None
    asked = parse_yaml(dump_yaml(to_config(recipe)), "recipe")
    return Checkpoint.load(output / "model") if load_yaml(output / "model" / "recipe.yaml") == asked else None


def _chosen(output: Path, resume: str) -> tuple[Path | None, dict[Path, str]]:
    """The state to go on from, and what is wrong with each newer one."""
    if resume not in ("auto", "never"):
        if unusable(resume) or not (Path(resume) / "state.json").exists():
            raise ConfigError(
                f"{resume} holds no state of a run; --resume takes auto, never or a folder such as state/step-00000500"
            )
        require_intact(Path(resume))
        return Path(resume), {}
    states = state_folders(output)
    if states and resume == "never":
        raise ConfigError(f"{output} already holds a run; choose another --output, or --resume auto to go on with it")
    return _newest_intact(states) if states else (None, {})


def _newest_intact(states: list[Path]) -> tuple[Path, dict[Path, str]]:
    problems: dict[Path, str] = {}
    for folder in reversed(states):
        found = verify_folder(folder)
        if not found:
            return folder, problems
        problems[folder] = found[0]
    raise CheckpointError(
        f"none of the states in {states[-1].parent} is intact, so this run cannot go on; choose another --output"
    )


def _set_aside(damaged: Path, problem: str) -> None:
    """Renames a state, so that nothing takes it for the run's newest."""
    aside = damaged.with_name(f"damaged-{damaged.name}")
    say(f"{damaged} is damaged and is kept as {aside.name}: {problem}")
    if is_main_process():
        shutil.rmtree(aside, ignore_errors=True)
        damaged.rename(aside)


def require_usable(output: Path) -> None:
    """Nothing in the folder may stand where the run will write, unless it is a run's own.

    Raises:
        ConfigError: something does, or no folder can be there.
    """
    require_place(output)
    require_place(output / "state")
    require_replaceable(output / "model")
    log = output / "log.jsonl"
    if log.is_dir():
        raise ConfigError(f"{log} is a folder; choose another --output")
    if log.is_file():
        with log.open("rb") as file:
            head = file.read(len(_LOG_BEGINS))
        if not _LOG_BEGINS.startswith(head):
            raise ConfigError(f"{log} was not written by textdiff; choose another --output")


def _require_no_other_recipe(output: Path) -> None:
    """A person's own `recipe.yaml` is not written over. Ours is known by being just what would be written again."""
    file = output / "recipe.yaml"
    if not file.exists():
        return
    try:
        ours = dump_yaml(load_yaml(file)) == file.read_text(encoding="utf8")
    except (TextdiffError, OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise ConfigError(f"{file} was not written by textdiff and would be lost; choose another --output")
