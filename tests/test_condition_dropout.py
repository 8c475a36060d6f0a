"""A model that was trained with its prompts hidden now and then can be guided by what a prompt makes of the text."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tiny import run

from textdiff.errors import ConfigError
from textdiff.recipe import load_recipe, run_recipe

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "markov.yaml"
PROMPT = "cccccdccccccccdc"


def moods(length: int) -> str:
    """c with probability 0.8 and d else, or the other way round; which of the two changes now and then."""
    generator, mood, text = random.Random(0), 0.8, []
    for _ in range(length):
        mood = 1 - mood if generator.random() < 1 / 60 else mood
        text.append("c" if generator.random() < mood else "d")
    return "".join(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "text.txt").write_text(moods(100_000))
    settings = [
        f"data.train={folder / 'text.txt'}",
        "tasks=[{name: prefix}]",
        "condition_dropout=0.3",
        "context_length=32",
        "training.max_steps=120",
        "training.eval_windows=8",
        "training.per_device_train_batch_size=32",
        "training.learning_rate=1e-2",
        "backbone.hidden_size=32",
    ]
    run_recipe(load_recipe(RECIPE, settings), RECIPE.parent, folder / "run")
    return folder / "run" / "model"


def share(model: Path, *options: object) -> float:
    """Of c among 1,600 written characters."""
    ended = run("generate", "-m", model, *options, "-n", 200, "--max-new-tokens", 8, "--steps", 8, "--json")
    assert (ended.code, ended.err) == (0, "")
    texts = [sample["text"].removeprefix(PROMPT) for sample in json.loads(ended.out)["samples"]]
    return sum(text.count("c") for text in texts) / sum(map(len, texts))


def test_guidance_weighs_what_the_prompt_makes_of_the_text(model: Path) -> None:
    """Nothing of it, as it is, and more: without the prompt both letters are as frequent."""
    blind, plain, more = (share(model, PROMPT, "--guidance", weight) for weight in (0, 1, 2.5))
    assert 0.3 < blind < 0.65
    assert plain > blind + 0.12
    assert more > plain + 0.06


@pytest.mark.parametrize("rate", ["-0.1", "1", "1.5"])
def test_not_everything_can_be_hidden(rate: str) -> None:
    with pytest.raises(ConfigError, match="condition_dropout must be at least 0 and below 1"):
        load_recipe(RECIPE, [f"condition_dropout={rate}"])
