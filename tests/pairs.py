"""Pairs for tests: letters, and the same letters in capitals, from the last to the first."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from textdiff.infiller import Infiller, load
from textdiff.recipe import Recipe, run_recipe
from textdiff.registry import build

ROOM = 6


def made(source: str) -> str:
    """The target of a source."""
    return source[::-1].upper()


def sources(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcd", k=chance.randint(1, 4))) for _ in range(count)]


def write_pairs(path: Path, count: int, seed: int = 0) -> Path:
    rows = [json.dumps({"source": source, "target": made(source)}) for source in sources(count, seed)]
    path.write_text("\n".join(rows) + "\n")
    return path


def recipe_of(path: Path, process: str, **training: object) -> Recipe:
    """A recipe of seconds."""
    return build(
        Recipe,
        {
            "context_length": 16,
            "data": {"train": str(path), "pairs": {"target_length": ROOM}, "validation_share": 0.1},
            "tokenizer": {"kind": "characters", "vocab_size": 32},
            "process": process,
            "backbone": {"name": "dit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
            "training": {
                "per_device_train_batch_size": 64,
                "learning_rate": 1e-2,
                "warmup_steps": 5,
                "optim": "muon",
                "eval_windows": 16,
            }
            | training,
        },
    )


@cache
def trained(process: str) -> Infiller:
    """A model that has learned it, the same one for all tests of a run."""
    folder = Path(mkdtemp())
    path = write_pairs(folder / "pairs.jsonl", 500)
    steps = {"max_steps": 110, "eval_steps": 110, "save_steps": 110}
    run_recipe(recipe_of(path, process, **steps), folder, folder / "run")
    return load(folder / "run")
