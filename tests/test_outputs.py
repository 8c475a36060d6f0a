"""C6: where a run may not write it says so before it computes, and what is not its own is never touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny import TEXT, Ended, run, save_tiny

RECIPE = """
context_length: 16
data: {train: text.txt, validation_share: 0}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {max_steps: 2, per_device_train_batch_size: 2, save_steps: 1}
"""
RUNS = ("train recipe.yaml --output {}", "finetune -m model --data text.txt --output {}")
COMMANDS = (
    *RUNS,
    "tokenizer train --data text.txt --output {}",
    "data prepare --data text.txt --tokenizer characters --output {}",
)
COMPUTING = (
    "textdiff.recipe.texts.read_corpus",
    "textdiff.corpus.read_corpus",
    "textdiff.recipe.running.train",
    "textdiff.infiller.open_checkpoint",
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    save_tiny(tmp_path / "model")
    return tmp_path


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files with what is in them and when they were written; folders as empty ones."""
    found = {}
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (data, path.stat().st_mtime_ns)
    return found


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Reading a text, opening a model and training are errors of the test."""
    with ExitStack() as stack:
        for name in COMPUTING:
            stack.enter_context(patch(name, side_effect=AssertionError(f"{name} was called")))
        yield


def refused(line: str, place: str) -> Ended:
    """How the command ends, which must be a sentence about the configuration and nothing else."""
    before = snapshot(Path())
    with nothing_computed():
        ended = run(*line.format(place).split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (3, b"", 1), ended.err
    assert snapshot(Path()) == before
    return ended


@pytest.mark.parametrize("line", COMMANDS)
def test_c6_a_command_that_may_write_would_compute(desk: Path, line: str) -> None:
    """What `refused` traps would be seen."""
    with nothing_computed():
        ended = run(*line.format("new").split())
    assert ended.code == 1 and "was called" in ended.err


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("place", ["text.txt", "text.txt/run", "link/run"])
def test_c6_a_file_is_no_place_for_a_folder(desk: Path, line: str, place: str) -> None:
    (desk / "link").symlink_to("text.txt")
    said = refused(line, place).err
    assert place in said and "is a file" in said


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("place", ["locked", "locked/deep/run"])
def test_c6_a_folder_that_may_not_be_written_to(desk: Path, line: str, place: str) -> None:
    """As root every folder may be, so the system's answer stands in for it."""
    (desk / "locked").mkdir()
    with patch("os.access", lambda place, mode: not mode & os.W_OK):
        assert f"{place} cannot be written to: permission denied for" in refused(line, place).err


@pytest.mark.parametrize("line", RUNS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("state", "run/state is a file"),
        ("model", "run/model is a file"),
        ("model/", "run/model holds files that textdiff did not write"),
        ("log.jsonl", "run/log.jsonl was not written by textdiff"),
        ("log.jsonl/", "run/log.jsonl is a folder"),
    ],
)
def test_c6_what_stands_in_the_way_of_a_run_is_left_there(desk: Path, line: str, name: str, said: str) -> None:
    file = desk / "run" / (f"{name}thesis.tex" if name.endswith("/") else name)
    file.parent.mkdir(parents=True)
    file.write_text("years of work")
    assert said in refused(line, "run").err


@pytest.mark.parametrize("line", COMMANDS[2:])
def test_c6_no_folder_with_files_of_a_person_is_replaced(desk: Path, line: str) -> None:
    (desk / "mine").mkdir()
    (desk / "mine" / "thesis.tex").write_text("years of work")
    refused(line, "mine")


@pytest.mark.parametrize("line", RUNS)
def test_c6_what_does_not_stand_in_the_way_is_left_there_too(desk: Path, line: str) -> None:
    for name in ("run/notes.md", "run/state/notes.md", "run/curves/notes.md"):
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_text("years of work")
    ended = run(*line.format("run").split(), "--set", "training.max_steps=3", "training.save_steps=1")
    assert ended.code == 0, ended.err
    assert all(path.read_text() == "years of work" for path in desk.rglob("notes.md"))
    assert len([*desk.rglob("notes.md")]) == 3


def test_c6_the_folder_of_another_run_is_left_as_it_is(desk: Path) -> None:
    """Its damaged states too, which a run of its own would set aside."""
    assert run("train", "recipe.yaml", "--output", "run").code == 0
    newest = desk / "run" / "state" / "step-00000002"
    (newest / "average.safetensors").write_bytes(b"")
    shutil.copytree(newest, newest.with_name("damaged-step-00000002"))
    for change in ("backbone.hidden_size=32", "seed=9", "context_length=8", "process.name=uniform"):
        said = refused("train recipe.yaml --output {} --set " + change, "run").err
        key = change.partition("=")[0].removesuffix(".name")
        assert "is of another run" in said and key in said
    assert run("train", "recipe.yaml", "--output", "run").code == 0
