"""A small model on a source of known entropy reaches it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from textdiff.recipe import load_recipe, run_recipe

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("training.per_device_train_batch_size=32", "backbone.hidden_size=32", "training.learning_rate=1e-2")


def source(path: Path, *options: str) -> float:
    """Writes a text from a Markov chain; returns its entropy rate, nats per character."""
    command = [sys.executable, str(ROOT / "scripts" / "make_markov.py"), str(path), *options]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def learn(tmp_path: Path, *overrides: str) -> dict[str, float]:
    path = ROOT / "recipes" / "markov.yaml"
    run_recipe(load_recipe(path, overrides), path.parent, tmp_path / "run")
    scores = json.loads((tmp_path / "run" / "model" / "metrics.json").read_text())["scores"]
    return {score["name"]: score["value"] for score in scores}


def test_absorbing_noise_reaches_the_entropy_of_a_two_state_chain(tmp_path: Path) -> None:
    """A short run. The bound lies above the entropy, up to the error of a text of 10,000 characters."""
    rate = source(tmp_path / "text.txt", "--length", "100000")
    scores = learn(tmp_path, f"data.train={tmp_path / 'text.txt'}", "training.max_steps=200", *SMALL)
    assert -0.02 < scores["nelbo"] - rate < 0.05
    assert scores["nelbo"] < scores["unigram_entropy"] - 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("process", "gap"), [("absorbing", 0.03), ("uniform", 0.12)])
@pytest.mark.parametrize("states", ["2", "16"])
def test_the_recipe_reaches_the_entropy(tmp_path: Path, process: str, gap: float, states: str) -> None:
    rate = source(tmp_path / "text.txt", "--states", states)
    scores = learn(tmp_path, f"data.train={tmp_path / 'text.txt'}", f"process.name={process}")
    print(f"{process}, {states} states: nelbo {scores['nelbo']:.4f}, entropy rate {rate:.4f} nats/character")
    assert scores["nelbo"] - rate < gap
