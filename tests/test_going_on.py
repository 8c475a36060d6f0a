"""C9 and C10: a run that goes on ends as if it had never stopped, or is refused with what differs."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tiny import TEXT, run, save_tiny

from textdiff.recipe import load_recipe
from textdiff.recipe.running import PreparedRun
from textdiff.training.log import RunLog

STEPS = 8
RECIPE = f"""
context_length: 16
data: {{train: text.txt, validation_share: 0}}
tokenizer: {{kind: characters, vocab_size: 64}}
backbone: {{name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, dropout: 0.1}}
training:
  max_steps: {STEPS}
  per_device_train_batch_size: 4
  save_steps: 1
  save_total_limit: 99
  ema_decay: 0.9
"""
WEIGHTS = ("model/model.safetensors", f"state/step-{STEPS:08d}/weights.safetensors")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT[:200])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def train(output: str, *sets: str, code: int = 0) -> str:
    ended = run("train", "recipe.yaml", "--output", output, *(["--set", *sets] if sets else []))
    assert ended.code == code, ended.err
    return ended.err


def stopping(at: int) -> Any:
    """Ends a run after a step, as a machine does that is needed elsewhere."""
    step = RunLog.step

    def preempt(log: RunLog, number: int, news: str | None = None) -> None:
        step(log, number, news)
        if number == at:
            signal.raise_signal(signal.SIGTERM)

    return patch.object(RunLog, "step", preempt)


def bits(output: str) -> list[bytes]:
    return [(Path(output) / name).read_bytes() for name in WEIGHTS]


def starts(output: str) -> list[int]:
    records = map(json.loads, (Path(output) / "log.jsonl").read_text().splitlines())
    return [record["step"] for record in records if record["event"] == "start"]


def windows() -> int:
    """Windows of an epoch."""
    return PreparedRun(load_recipe(Path("recipe.yaml")), Path()).loader().corpus.windows


def test_c10_a_run_may_go_on_again_and_again_and_ends_with_the_same_bits(desk: Path) -> None:
    """Stopped after every single step: before, at and after the ends of epochs, and at the last step."""
    train("whole")
    for at in range(1, STEPS):
        with stopping(at):
            train("parts", code=75)
    train("parts")
    assert starts("parts") == [*range(STEPS)]
    assert bits("parts") == bits("whole")
    assert 2 * windows() < STEPS * 4, "two epochs must end within the run"


def test_c10_twice_from_the_same_state_gives_the_same_bits(desk: Path) -> None:
    train("whole")
    with stopping(3):
        train("one", code=75)
    for output in ("one", "two"):
        ended = run("train", "recipe.yaml", "--output", output, "--resume", "one/state/step-00000003")
        assert ended.code == 0, ended.err
        assert bits(output) == bits("whole")
        assert starts(output)[-1] == 3


@pytest.mark.parametrize("batch", [3, 4, 6])
def test_c10_at_the_end_of_an_epoch(desk: Path, batch: int) -> None:
    """12 windows, so that an epoch ends with a step, and not within one."""
    (desk / "text.txt").write_text(TEXT[:193])
    sets = (f"training.per_device_train_batch_size={batch}",)
    train("whole", *sets)
    assert windows() == 12
    end = 12 // batch
    with stopping(end):
        train("parts", *sets, code=75)
    assert json.loads((desk / f"parts/state/step-{end:08d}/state.json").read_text())["progress"]["step"] == end
    train("parts", *sets)
    assert starts("parts") == [0, end]
    assert bits("parts") == bits("whole")


def test_c10_at_the_last_step_only_the_model_is_left_to_write(desk: Path) -> None:
    """The process died before there was any, or what there is has been damaged since."""
    train("whole")
    with patch("textdiff.recipe.running.model_card", side_effect=KeyboardInterrupt):
        train("parts", code=130)
    shutil.rmtree(desk / "parts" / "model")  # of the evaluation at the last step
    train("parts")
    assert bits("parts") == bits("whole") and starts("parts") == [0, STEPS]
    (desk / "parts" / "model" / "model.safetensors").unlink()
    train("parts")
    assert bits("parts") == bits("whole")
    assert run("verify", "parts").code == 0


def test_c10_a_finished_run_stays_as_it_is(desk: Path) -> None:
    train("whole")
    before = bits("whole")
    for _ in range(2):
        assert "nothing to do: whole is finished" in train("whole")
    assert bits("whole") == before and starts("whole") == [0]


CHANGES = {
    "tokenizer.vocab_size=32": "tokenizer.vocab_size was 64 and is 32",
    "tokenizer.kind=byte_bpe": "tokenizer.kind was 'characters' and is 'byte_bpe'",
    "training.per_device_train_batch_size=8": "samples_per_step was 4 and is 8",
    "training.gradient_accumulation_steps=3": "samples_per_step was 4 and is 12",
    "data.train=other.txt": "data.train was 'text.txt' and is 'other.txt'",
    "training.optim=muon": "training.optim was 'adamw' and is 'muon'",
    "training.weight_decay=0.5": "training.weight_decay was 0.05 and is 0.5",
}


@pytest.mark.parametrize("change", CHANGES)
def test_c9_what_may_not_change_is_named_with_both_values(desk: Path, change: str) -> None:
    (desk / "other.txt").write_text(TEXT)
    with stopping(2):
        train("run", code=75)
    files = {path: path.read_bytes() for path in (desk / "run").rglob("*") if path.is_file()}
    said = train("run", change, code=3)
    assert CHANGES[change] in said and "run/state/step-00000002 is of another run" in said
    assert {path: path.read_bytes() for path in (desk / "run").rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("what", ["text", "tokenizer"])
def test_c9_the_same_name_with_other_content_is_noticed(desk: Path, what: str) -> None:
    """The recipe is the same to the letter; what it names is not."""
    save_tiny(desk / "tokens")
    sets = ("tokenizer={path: tokens}",)
    with stopping(2):
        train("run", *sets, code=75)
    if what == "text":
        (desk / "text.txt").write_text(TEXT[:200].replace("river", "shore"))
    else:
        save_tiny(desk / "others", kind="characters")
        for file in (desk / "others").glob("tokenizer*"):
            file.replace(desk / "tokens" / file.name)
    said = train("run", *sets, code=3)
    name = {"text": "corpus_sha256", "tokenizer": "tokenizer_sha256"}[what]
    assert f"{name} was '" in said and "is of another run" in said


def test_c9_another_learning_rate_is_allowed_and_logged(desk: Path) -> None:
    with stopping(3):
        train("run", code=75)
    train("run", "training.learning_rate=0.25", "training.lr_scheduler_type=constant", "training.warmup_steps=0")
    records = [json.loads(line) for line in (desk / "run" / "log.jsonl").read_text().splitlines()]
    assert [r["training"]["learning_rate"] for r in records if r["event"] == "start"] == [0.001, 0.25]
