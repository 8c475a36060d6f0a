"""`training.report_to`: trackers hear what the log hears, are closed however a run ends, and never end one."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from accelerate.tracking import get_available_trackers
from test_cli_train import RECIPE
from tiny import TEXT, Ended, run

from textdiff.training import TrainingConfig
from textdiff.training.log import RunLog

ABSENT = [name for name in ("aim", "comet_ml", "clearml", "swanlab") if name not in map(str, get_available_trackers())]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def train(recipe: Path, *settings: str, to: str = "tensorboard") -> Ended:
    sets = [f"training.report_to={to}", "training.logging_steps=1", *settings]
    return run("train", recipe, "--output", recipe.parent / "run", "--set", *sets)


def told(output: Path) -> dict[str, dict[int, float]]:
    """What is in the event files: values by step, by name. Read by tensorboard itself."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = event_accumulator.EventAccumulator(str(output / "trackers" / "textdiff"))
    found.Reload()
    return {tag: {event.step: event.value for event in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


def logged(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def require_tensorboard() -> None:
    pytest.importorskip("tensorboard")


def test_tensorboard_hears_what_the_log_hears(recipe: Path) -> None:
    require_tensorboard()
    output = recipe.parent / "run"
    ended = train(recipe)
    assert (ended.code, ended.out) == (0, f"{output / 'model'}\n".encode())
    figures = told(output)
    records = logged(output)
    assert {record["event"] for record in records} == {"start", "step", "evaluation", "final"}
    expected: dict[str, dict[int, float]] = {}
    prefixes = {"step": "train", "evaluation": "eval", "final": "final"}
    for record in records:
        for key, value in record.items():
            if record["event"] in prefixes and key not in ("event", "step", "signature"):
                expected.setdefault(f"{prefixes[record['event']]}/{key}", {})[record["step"]] = pytest.approx(
                    value, rel=1e-5
                )
    assert figures == expected
    assert {"train/loss", "train/learning_rate", "eval/nelbo", "final/bits_per_byte"} <= figures.keys()
    (options,) = (output / "trackers").rglob("hparams.yml")
    assert "training.max_steps: 4" in options.read_text() and "backbone.name: dit" in options.read_text()


def test_it_hears_them_as_they_come_and_goes_on_after_a_stop(recipe: Path) -> None:
    """On SIGTERM the file is whole; the continued run hides nothing and repeats nothing."""
    require_tensorboard()
    output, step = recipe.parent / "run", RunLog.step
    midway: list[dict[str, dict[int, float]]] = []

    def preempt(log: RunLog, number: int, news: str | None = None) -> None:
        step(log, number, news)
        if number == 3:
            midway.append(told(output))
            signal.raise_signal(signal.SIGTERM)

    with patch.object(RunLog, "step", preempt):
        assert train(recipe).code == 75
    assert sorted(midway[0]["train/loss"]) == [1, 2, 3]
    assert sorted(told(output)["train/loss"]) == [1, 2, 3]
    assert train(recipe).code == 0
    figures = told(output)
    assert sorted(figures["train/loss"]) == [1, 2, 3, 4] and sorted(figures["final/nelbo"]) == [4]
    assert train(recipe, to="none").code == 0, "where the figures go may change"


def test_a_missing_package_is_said_before_any_work(recipe: Path) -> None:
    name = ABSENT[0]
    ended = train(recipe, to=f"[{name}]")
    assert (ended.code, ended.out) == (3, b"")
    wanted = f"training.report_to names {name}, not installed here: pip install {name.replace('_', '-')}\n"
    assert ended.err == f"textdiff: error: {wanted}"
    assert not (recipe.parent / "run").exists()


def test_an_unknown_name_is_said_with_the_nearest(recipe: Path) -> None:
    ended = train(recipe, to="tensorbored")
    assert ended.code == 3
    assert "report_to: no tracker is named 'tensorbored'. Did you mean 'tensorboard'? Known: " in ended.err


@pytest.mark.parametrize(
    ("given", "names"),
    [((), ()), ("none", ()), ("wandb", ("wandb",)), (("trackio", "wandb", "trackio"), ("trackio", "wandb"))],
)
def test_names_are_given_alone_or_in_a_list(given: Any, names: tuple[str, ...]) -> None:
    assert TrainingConfig(report_to=given).trackers == names


def test_a_tracker_that_cannot_be_opened_costs_nothing_else(recipe: Path) -> None:
    """Its folder is a file here. The log and the model are those of a run without it."""
    require_tensorboard()
    output = recipe.parent / "run"
    (output / "trackers").mkdir(parents=True)
    (output / "trackers" / "textdiff").write_text("in the way")
    ended = train(recipe)
    assert (ended.code, ended.out) == (0, f"{output / 'model'}\n".encode())
    assert ended.err.count("tensorboard failed and is told no more; training goes on: ") == 1
    assert [record["step"] for record in logged(output) if record["event"] == "step"] == [1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # tensorboard's own thread ends
def test_c5_a_full_disk_for_the_tracker_is_said_once(recipe: Path) -> None:
    """From step 2 on, all that tensorboard writes goes to a full device."""
    require_tensorboard()
    output, step = recipe.parent / "run", RunLog.step

    def fill(log: RunLog, number: int, news: str | None = None) -> None:
        step(log, number, news)
        for file in (output / "trackers" / "textdiff").glob("*tfevents*") if number == 2 else ():
            file.rename(recipe.parent / "events.out.tfevents.kept")
            file.symlink_to("/dev/full")  # tensorboard opens it anew for every write

    with patch.object(RunLog, "step", fill):
        ended = train(recipe)
    assert (ended.code, ended.out) == (0, f"{output / 'model'}\n".encode())
    assert ended.err.count("tensorboard failed and is told no more; training goes on: OSError: [Errno 28]") == 1
    assert [record["step"] for record in logged(output) if record["event"] == "step"] == [1, 2, 3, 4]
    assert "Traceback" not in ended.err
