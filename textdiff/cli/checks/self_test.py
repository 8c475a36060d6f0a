"""A tiny model is trained, stopped, gone on with, and used: the whole way, in a folder that goes away."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from textdiff.cli.checks.finding import Asked, Finding, failed, ok
from textdiff.cli.checks.model import filling
from textdiff.errors import PreemptedError

if TYPE_CHECKING:
    from textdiff.recipe import Recipe

_TEXT = "The old house stood by the river, and the rain fell on the garden all day long.\n" * 8
_ENDS = (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
_STATE = "state/step-{:08d}"
_ADVICE = "Do not trust a run that was interrupted on this machine; try another device or another version of torch."


def check_training(asked: Asked) -> list[Finding]:
    """Two steps in one go, the same two with a stop between them, and a gap filled by what came of it."""
    from textdiff.cli.loading import hush

    hush()
    with (
        _ended_gently(),
        tempfile.TemporaryDirectory(prefix="textdiff-doctor-") as name,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        folder = Path(name)
        began = time.perf_counter()
        _train(folder, "whole", 2)
        seconds = time.perf_counter() - began
        _train(folder, "parts", 1)
        _train(folder, "parts", 2)
        trained = filling("the model that was just trained", folder / "parts", "trained model")
        return [_training(folder / "whole", seconds), _resuming(folder / "whole", folder / "parts"), trained]


def _train(folder: Path, run: str, steps: int) -> None:
    from textdiff.recipe import run_recipe

    text = folder / "text.txt"
    text.write_text(_TEXT, encoding="utf8")
    run_recipe(_recipe(text, steps), folder, folder / run)


def _recipe(text: Path, steps: int) -> Recipe:
    """The learning rate does not follow from the number of steps: the runs that are compared differ in it."""
    from textdiff.recipe import Recipe
    from textdiff.registry import build

    values = {
        "data": {"train": str(text), "validation_share": 0.0},
        "context_length": 16,
        "tokenizer": {"kind": "characters", "vocab_size": 64},
        "backbone": {"name": "dit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "training": {
            "max_steps": steps,
            "per_device_train_batch_size": 2,
            "warmup_steps": 0,
            "lr_scheduler_type": "constant",
            "save_steps": 1,
        },
    }
    return build(Recipe, values)


def _training(whole: Path, seconds: float) -> Finding:
    first, second = (whole / _STATE.format(step) / "weights.safetensors" for step in (1, 2))
    if first.read_bytes() == second.read_bytes():
        return failed("training", "a step of training changed no weight", "Try another version of torch.")
    return ok("training", f"2 steps of a tiny model in {seconds:.1f} s, saved after each")


def _resuming(whole: Path, parts: Path) -> Finding:
    log = map(json.loads, (parts / "log.jsonl").read_text(encoding="utf8").splitlines())
    starts = [record["step"] for record in log if record["event"] == "start"]
    if starts != [0, 1]:
        return failed("resuming", f"a run that was stopped after step 1 went on from step {starts[-1]}", _ADVICE)
    folders = ("model", _STATE.format(2))
    names = [path.relative_to(whole) for folder in folders for path in sorted((whole / folder).glob("*.safetensors"))]
    other = [name for name in names if (whole / name).read_bytes() != (parts / name).read_bytes()]
    if other:
        return failed("resuming", f"{other[0]} is not that of a run without a stop", _ADVICE)
    return ok("resuming", "after step 1; equal to the bit to 2 steps in one go")


@contextlib.contextmanager
def _ended_gently() -> Iterator[None]:
    """Who ends the process inside the `with` lets it clean up: any request to end becomes an interrupt."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt

    heeded = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _ENDS if heeded}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, stop)
    try:
        yield
    except (PreemptedError, KeyboardInterrupt):  # training has its own words, about a folder that is gone by now
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
