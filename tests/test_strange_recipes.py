"""Y1: what `train` says of a recipe that is wrong: at once, with the path to the key, and before anything is done."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tiny import TEXT, run

RECIPE = """context_length: 16
data: {train: text.txt, validation_share: 0}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {max_steps: 2, per_device_train_batch_size: 2}
"""
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
WRONG: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (BOMB, "recipe.yaml:1: anchors and aliases ('a') are not used here; write the value again"),
    "deep": ("data: " + "[" * 5000, "recipe.yaml:1: "),
    "duplicate key": (RECIPE + "context_length: 8\n", "recipe.yaml:6: the key 'context_length' stands twice"),
    "object": (RECIPE + "seed: !!python/object/apply:os.system ['touch canary']\n", "recipe.yaml:6: tags ("),
    "not UTF-8": (RECIPE.encode() + b"description: caf\xe9\n", "recipe.yaml:6: byte "),
    "unknown key": (
        RECIPE.replace("max_steps", "max_step"),
        "recipe.yaml: training.max_step: unknown key. Did you mean 'max_steps'?",
    ),
    "unknown key at the top": (
        RECIPE.replace("context_length", "context_lenght"),
        "context_lenght: unknown key. Did you mean 'context_length'?",
    ),
    "unknown key of a component": (
        RECIPE.replace("hidden_size", "hidden_sise"),
        "backbone.hidden_sise: unknown key. Did you mean 'hidden_size'?",
    ),
    "unknown component": (RECIPE + "process: {name: absorbin}\n", "Did you mean 'absorbing'?"),
    "output folder": (RECIPE + "output_dir: ../../etc\n", "recipe.yaml: output_dir: unknown key. Known: data, "),
    "output folder below": (
        RECIPE.replace("max_steps: 2", "max_steps: 2, output_dir: ../../etc"),
        "recipe.yaml: training.output_dir: unknown key.",
    ),
    "a word for a number": (RECIPE.replace("hidden_size: 16", "hidden_size: wide"), "backbone.hidden_size: "),
    "a list for a number": (RECIPE.replace("context_length: 16", "context_length: [16]"), "context_length: "),
    "a number for a mapping": (
        RECIPE.replace("data: {train: text.txt, validation_share: 0}", "data: 5"),
        "recipe.yaml: data: expected a mapping of keys to values, got 5",
    ),
    "nothing for a number": (RECIPE.replace("context_length: 16", "context_length:"), "context_length: "),
    "true for a number": (RECIPE.replace("context_length: 16", "context_length: true"), "context_length: "),
    "half a number": (RECIPE.replace("context_length: 16", "context_length: 16.5"), "context_length: "),
    "a word for a switch": (RECIPE.replace("max_steps: 2", "max_steps: 2, fsdp: perhaps"), "training.fsdp: "),
    "not a number": (
        RECIPE.replace("max_steps: 2", "max_steps: 2, learning_rate: .nan"),
        "training.learning_rate: expected a finite number, got nan",
    ),
    "without end": (
        RECIPE.replace("max_steps: 2", "max_steps: 2, learning_rate: .inf"),
        "training.learning_rate: expected a finite number, got inf",
    ),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "deep" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "text.txt").write_text(TEXT)
    (here / "recipe.yaml").write_text(RECIPE)
    assert run("train", "recipe.yaml", "--dry-run").code == 0, "and so that what is imported first is not measured"
    return here


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ["train", "data prepare"])
def test_y1_a_wrong_recipe_is_refused_at_once(desk: Path, tmp_path: Path, command: str, name: str) -> None:
    data, said = WRONG[name]
    Path("recipe.yaml").write_bytes(data.encode() if isinstance(data, str) else data)
    before, began = content(tmp_path), time.process_time()
    ended = run(*command.split(), "recipe.yaml", "--output", "run")
    assert time.process_time() - began < 1
    assert (ended.code, ended.out, ended.err.count("\n")) == (3, b"", 1), ended.err
    assert said in ended.err
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "value", ["$HOME/text.txt", '"${HOME}/text.txt"', "~/text.txt", "!env HOME", "$(cat text.txt)"]
)
def test_y1_nothing_is_put_in_for_a_name(desk: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that would be read after all is there."""
    monkeypatch.setenv("HOME", str(desk))
    Path("recipe.yaml").write_text(RECIPE.replace("text.txt", value))
    ended = run("train", "recipe.yaml", "--output", "run")
    assert ended.code == (3 if value.startswith("!") else 4)
    assert value.startswith("!") or f"{value.strip(chr(34))} was not found" in ended.err
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("written", "key", "expected"),
    [
        ("learning_rate: 1e-4", "learning_rate", 1e-4),
        ("learning_rate: '1e-4'", "learning_rate", 1e-4),
        ("bf16: no", "bf16", False),
        ("bf16: off", "bf16", False),
        ("fsdp: on", "fsdp", True),
        ("fsdp: yes", "fsdp", True),
    ],
)
def test_y1_words_for_numbers_and_switches_are_what_they_say(
    desk: Path, written: str, key: str, expected: object
) -> None:
    """The reader leaves them words; the recipe knows of which kind its keys are."""
    from textdiff.recipe import load_recipe

    Path("recipe.yaml").write_text(RECIPE.replace("max_steps: 2", f"max_steps: 2, {written}"))
    found = getattr(load_recipe(Path("recipe.yaml")).training, key)
    assert found == expected and type(found) is type(expected)


def test_y1_fifty_megabytes_are_not_read(desk: Path) -> None:
    with Path("recipe.yaml").open("ab") as file:
        file.truncate(50_000_000)
    began = time.process_time()
    ended = run("train", "recipe.yaml", "--output", "run")
    assert time.process_time() - began < 1
    assert ended.code == 3 and "larger than the 1,000,000 bytes" in ended.err and not Path("run").exists()
