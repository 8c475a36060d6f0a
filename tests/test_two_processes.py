"""Two processes train what one trains with twice the batch."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import launch
from safetensors.torch import load_file
from tiny import run

from textdiff.training import state_folders
from textdiff.training.state import step_of

ROOT = Path(__file__).resolve().parent.parent
RECIPE = str(ROOT / "recipes" / "markov.yaml")
TEXT = "abab" * 300 + "aabb" * 200
OPTIONS = [
    "data.train=text.txt",
    "context_length=32",
    "training.max_steps=4",
    "training.save_steps=4",
    "training.bf16=false",
    "backbone.hidden_size=16",
    "backbone.num_hidden_layers=1",
    "training.optim=adamw",
    "training.adam_epsilon=1e-2",
]


def sets(*more: str) -> list[str]:
    """The options, and more of them."""
    return [word for option in [*OPTIONS, *more] for word in ("--set", option)]


def train(folder: Path, rows: int, output: str) -> dict[str, torch.Tensor]:
    """Trains with this process alone."""
    size = f"training.per_device_train_batch_size={rows}"
    with contextlib.chdir(folder):
        done = run("train", RECIPE, "--output", output, *sets(size))
    assert done.code == 0, done.err[-3000:]
    return load_file(folder / output / "model" / "model.safetensors")


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    """As torchrun starts them."""
    (tmp_path / "text.txt").write_text(TEXT)
    one = train(tmp_path, 8, "one")
    words = ["-m", "textdiff", "train", RECIPE, "--output", "two", *sets("training.per_device_train_batch_size=4")]
    done = torchrun(tmp_path, words)
    assert done.returncode == 0, done.stderr[-3000:]
    two = load_file(tmp_path / "two" / "model" / "model.safetensors")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, msg=name)


def torchrun(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


DRIVER = """
import os, signal, sys, threading, time
from textdiff.cli import main
from textdiff.data import TrainingLoader
from textdiff.training import RunState
from textdiff.training.step import TrainingStep

fault, moment, calls = sys.argv[1], int(sys.argv[2]), 0
fault, rank, share = (*fault.split(":"), "1", "0")[:3]
began = 0.0

def at(owner, name, act):
    inner = getattr(owner, name)
    def wrapped(*args, **options):
        global calls, began
        calls += 1
        began = began or time.monotonic()
        if calls == moment:
            return act(inner, args, options)
        return inner(*args, **options)
    setattr(owner, name, wrapped)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def fail(*_):
    raise ValueError("the loader is broken")

def poison(inner, args, options):
    report = inner(*args, **options)
    return type(report)(report.loss * float("nan"), report.nelbo_nats, report.tokens)

def die_soon(inner, args, options):
    # Some way into the step that begins here, or into what follows it.
    threading.Timer(float(share) * (time.monotonic() - began) / (moment - 1), die).start()
    return inner(*args, **options)

if os.environ["RANK"] == rank:
    if fault == "save":
        at(RunState, "save", die)
    elif fault == "batch":
        at(TrainingLoader, "batch", die)
    elif fault == "sometime":
        at(TrainingLoader, "batch", die_soon)
    elif fault == "error":
        at(TrainingLoader, "batch", fail)
    elif fault == "nan":
        at(TrainingStep, "forward", poison)
if fault == "term" and os.environ["RANK"] == "0":
    at(TrainingLoader, "batch", lambda inner, args, options: os.kill(os.getpid(), signal.SIGTERM) or inner(*args, **options))
sys.exit(main(sys.argv[3:]))
"""


def two(folder: Path, output: str, fault: str = "none", moment: int = 0, more: tuple[str, ...] = ()) -> Any:
    """Trains with two processes, of which something befalls one. If it is a sudden death, torchrun is to end the other."""
    (folder / "driver.py").write_text(DRIVER)
    (folder / "text.txt").write_text(TEXT)
    often = ["training.per_device_train_batch_size=4", "training.save_steps=1", "training.logging_steps=1"]
    words = ["driver.py", fault, str(moment), "train", RECIPE, "--output", output, *sets(*often, *more)]
    return torchrun(folder, words) if fault not in ("none", "term", "nan") else launch(words, cwd=folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    assert two(folder, "run").returncode == 0
    return load_file(folder / "run" / "model" / "model.safetensors")


def assert_goes_on(folder: Path, output: str, whole: dict[str, torch.Tensor], more: tuple[str, ...] = ()) -> None:
    """The same command again ends with the weights, bit for bit, of a run that nothing befell."""
    again = two(folder, output, more=more)
    assert again.returncode == 0, again.stderr[-3000:]
    found = load_file(folder / output / "model" / "model.safetensors")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_c2_one_of_two_is_killed_while_a_state_is_saved(tmp_path: Path, whole: dict[str, torch.Tensor]) -> None:
    ended = two(tmp_path, "run", "save", 2)
    assert ended.returncode != 0
    assert "is a bug" not in ended.stderr
    assert "another process of this run has ended too early" in ended.stderr or "Signal 9" in ended.stderr
    assert_goes_on(tmp_path, "run", whole)


def test_c3_one_of_two_is_asked_to_stop(tmp_path: Path, whole: dict[str, torch.Tensor]) -> None:
    ended = two(tmp_path, "run", "term", 3)
    assert ended.returncode != 0
    assert ended.stderr.count("stopped by SIGTERM after step 3; the same command goes on from") == 2
    assert_goes_on(tmp_path, "run", whole)


def test_t1_a_loss_that_is_not_finite_in_one_of_two_is_skipped_by_both(tmp_path: Path) -> None:
    ended = two(tmp_path, "run", "nan", 2)
    assert ended.returncode == 0, ended.stderr[-3000:]
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    skipped = [record for record in records if record["event"] == "skipped"]
    assert [(record["step"], record["samples"]) for record in skipped] == [(2, [8, 15])]
    found = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in found.values())


def test_t5_an_error_in_one_of_two_ends_both_and_comes_first(tmp_path: Path) -> None:
    ended = two(tmp_path, "run", "error", 2)
    assert ended.returncode != 0
    bugs = [line for line in ended.stderr.splitlines() if "this is a bug" in line]
    assert len(bugs) == 1 and "ValueError: the loader is broken" in bugs[0]


def test_c9_a_run_of_one_goes_on_with_two_only_if_the_batch_stays(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    train(tmp_path, 4, "small")
    refused = two(tmp_path, "small")
    assert refused.returncode != 0
    assert "samples_per_step was 4 and is 8" in refused.stderr
    train(tmp_path, 8, "fits")
    assert two(tmp_path, "fits").returncode == 0


@pytest.mark.slow
def test_c1_two_processes_killed_again_and_again(tmp_path: Path, whole: dict[str, torch.Tensor]) -> None:
    """Twenty runs of two, each killed once at a batch or at a save, end with the same bits."""
    chance, deaths = random.Random(3), 0
    for number in range(20):
        output = f"run{number}"
        assert two(tmp_path, output, chance.choice(("batch", "save")), chance.randint(1, 4)).returncode != 0
        deaths += 1
        assert_goes_on(tmp_path, output, whole)
    assert deaths == 20


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", ["false", "true"])
def test_c1_one_run_of_two_is_killed_twenty_times_over(tmp_path: Path, fsdp: str) -> None:
    """At any moment, either of them: in a step, in a save, in an evaluation. Every start comes some steps further."""
    more = ("training.max_steps=150", "training.eval_steps=3", "training.eval_windows=2", f"training.fsdp={fsdp}")
    assert two(tmp_path, "whole", more=more).returncode == 0
    whole = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    chance, reached = random.Random(7), []
    for _ in range(20):
        fault = f"sometime:{chance.randint(0, 1)}:{chance.uniform(0, 2)}"
        ended = two(tmp_path, "run", fault, chance.randint(2, 4), more)
        assert ended.returncode != 0
        assert "is a bug" not in ended.stderr
        reached.append(max((step_of(folder) for folder in state_folders(tmp_path / "run")), default=0))
    assert reached == sorted(reached) and len(set(reached)) > 10 and reached[-1] < 150, reached
    assert_goes_on(tmp_path, "run", whole, more)
