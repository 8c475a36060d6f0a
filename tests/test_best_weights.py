"""Training that stops when held-out text gets no likelier, and keeps the best weights."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from oracles import canvas_of
from test_training import SMALL, assert_same, job, weights
from tiny import TEXT, run, save_tiny

from textdiff.errors import ConfigError
from textdiff.metrics import estimate_nelbo
from textdiff.recipe import load_recipe
from textdiff.training import Progress, TrainingConfig, TrainingJob, state_folders, train

CONFIG = replace(
    SMALL, max_steps=8, eval_steps=1, save_steps=1, save_total_limit=99, lr_scheduler_type="constant", ema_decay=0.5
)
FALLS_THEN_RISES = (3.0, 2.0, 2.5, 2.0, float("nan"), 1.0, 1.5, 1.2)


def scored(made: TrainingJob, nelbos: Sequence[float], resume: Path | None = None) -> Progress:
    """Trains; the evaluation after step n finds nelbos[n - 1]."""
    begun = 0 if resume is None else int(resume.name[-8:])
    rest = itertools.chain(nelbos[begun:])

    def found(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(nats_per_token=next(rest), standard_error=0.1, name="nelbo", in_words="as told")

    with patch("textdiff.training.evaluating.estimate_nelbo", found):
        return train(replace(made, validation=lambda windows: []), resume)


def at(output: Path, steps: int, config: TrainingConfig) -> dict[str, torch.Tensor]:
    """The averaged weights of a plain run after so many steps."""
    made = job(output, replace(config, max_steps=steps, load_best_model_at_end=False, early_stopping_patience=None))
    scored(made, FALLS_THEN_RISES)
    return weights(made)


@pytest.mark.parametrize(
    ("patience", "last", "best"), [(1, 3, 2), (2, 4, 2), (3, 5, 2), (4, 8, 6), (None, 8, 6)], ids=str
)
def test_it_stops_after_so_many_evaluations_that_are_no_better(
    tmp_path: Path, patience: int | None, last: int, best: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An equal score is no better, nor is one that is no number."""
    config = replace(CONFIG, early_stopping_patience=patience, load_best_model_at_end=True)
    made = job(tmp_path / "run", config)
    done = scored(made, FALLS_THEN_RISES)
    assert (done.step, done.best_step, done.best_nelbo) == (last, best, FALLS_THEN_RISES[best - 1])
    assert_same(weights(made), at(tmp_path / "plain", best, config))
    said = " ".join(capsys.readouterr().err.split())
    assert f"the best step was {best}, whose weights are kept" in said
    assert (f"stopped early at step {last}, after {patience} evaluations" in said) == (last < 8)


def test_without_the_option_the_last_weights_come_out(tmp_path: Path) -> None:
    config = replace(CONFIG, early_stopping_patience=2)
    made = job(tmp_path / "run", config)
    assert scored(made, FALLS_THEN_RISES).step == 4
    assert_same(weights(made), at(tmp_path / "plain", 4, config))
    assert not list(tmp_path.glob("run/state/*/best.safetensors"))


def test_nothing_is_judged_where_nothing_is_held_out(tmp_path: Path) -> None:
    config = replace(CONFIG, early_stopping_patience=1, load_best_model_at_end=True)
    made = job(tmp_path / "run", config)
    assert train(made).step == 8
    assert_same(weights(made), at(tmp_path / "plain", 8, config))


def test_c10_a_run_that_goes_on_from_any_state_keeps_and_stops_alike(tmp_path: Path) -> None:
    config = replace(CONFIG, early_stopping_patience=3, load_best_model_at_end=True)
    whole = job(tmp_path / "run", config)
    done = scored(whole, FALLS_THEN_RISES)
    assert done.step == 5
    for folder in state_folders(tmp_path / "run"):
        rest = job(tmp_path / f"from {folder.name}", config)
        again = scored(rest, FALLS_THEN_RISES, folder)
        assert again == replace(done, seconds=again.seconds)
        assert_same(weights(whole), weights(rest))


def test_patience_is_at_least_one() -> None:
    with pytest.raises(ConfigError, match="early_stopping_patience must be at least 1, got 0"):
        TrainingConfig(early_stopping_patience=0)
    plain = TrainingConfig()
    assert (plain.early_stopping_patience, plain.load_best_model_at_end) == (None, False)


def test_finetuning_stops_early_and_is_then_finished(tmp_path: Path) -> None:
    """A learning rate that does harm: no evaluation is better than the first."""
    model, text, output = save_tiny(tmp_path / "model"), tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT * 4)
    sets = ("training.max_steps=40", "training.per_device_train_batch_size=2", "training.learning_rate=3")
    command = ("finetune", "-m", model, "--data", text, "--output", output, "--set", *sets)
    ended = run(*command)
    assert ended.code == 0, ended.err
    assert "stopped early at step " in ended.err and "whose weights are kept" in ended.err
    kept = load_recipe(output / "recipe.yaml").training
    assert (kept.early_stopping_patience, kept.load_best_model_at_end) == (3, True)
    events = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    nelbos = {e["step"]: e["nelbo"] for e in events if e["event"] == "evaluation"}
    best = min(nelbos, key=lambda step: nelbos[step])
    assert f"the best step was {best}, " in ended.err
    assert list(nelbos) == [*range(4, best + 13, 4)]
    assert "nothing to do" in run(*command).err


@pytest.mark.parametrize(("windows", "repeats"), [(3, 2), (8, 1), (20, 1)])
def test_a_short_held_out_text_is_scored_several_times(tmp_path: Path, windows: int, repeats: int) -> None:
    """Of a few windows one draw of noise each says too little to choose weights by."""
    made = job(tmp_path, replace(SMALL, max_steps=2, eval_steps=1, eval_windows=8))
    letter = int(made.model.vocabulary.writable().nonzero()[0])
    canvas = canvas_of(torch.full((windows, 6), letter))
    with patch("textdiff.training.evaluating.estimate_nelbo", wraps=estimate_nelbo) as estimate:
        train(replace(made, validation=lambda most: [canvas]))
    assert [call.args[3] for call in estimate.call_args_list] == [repeats]
