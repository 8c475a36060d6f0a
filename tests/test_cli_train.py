"""`textdiff train` and `textdiff finetune`."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from tiny import CONTEXT, TEXT, run, save_tiny, tiny_checkpoint

import textdiff
from textdiff.cli.score_tables import number
from textdiff.errors import ConfigError
from textdiff.evaluation import score_held_out
from textdiff.files import parse_yaml, read_json
from textdiff.infiller import Checkpoint, DefaultSamplers
from textdiff.recipe import Recipe, load_recipe
from textdiff.recipe.finetuning import finetuning_recipe
from textdiff.recipe.running import PreparedRun
from textdiff.registry import build, name_of, to_config
from textdiff.training import state_folders
from textdiff.training.log import RunLog

RECIPE = """
context_length: 16
data: {train: text.txt, validation_share: 0.2}
tokenizer: characters
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {max_steps: 4, per_device_train_batch_size: 4, eval_steps: 2, save_steps: 2}
""".replace("tokenizer: characters", "tokenizer: {kind: characters, vocab_size: 64}")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_a_dry_run_prints_the_recipe_as_it_would_run(recipe: Path) -> None:
    changes = ["training.max_steps=7", "process.name=uniform"]
    ended = run("train", recipe, "--dry-run", "--set", *changes, "--output", recipe.parent / "run")
    assert (ended.code, ended.err) == (0, "")
    shown = parse_yaml(ended.text, "shown")
    assert shown == to_config(load_recipe(recipe, changes))
    assert build(Recipe, shown) == load_recipe(recipe, changes)
    assert (shown["training"]["max_steps"], shown["process"]) == (7, {"name": "uniform"})
    assert not (recipe.parent / "run").exists()


def test_training_leaves_a_model_and_says_where(recipe: Path) -> None:
    output = recipe.parent / "run"
    ended = run("train", recipe, "--output", output)
    assert (ended.code, ended.out) == (0, f"{output / 'model'}\n".encode())
    assert "held-out nelbo" in ended.err
    assert "Writing model" not in ended.err
    final = ended.err.partition("held-out text, whole:")[2]
    assert [name for name in ("nelbo", "±", "unigram_entropy", "bigram_entropy") if name not in final] == []
    names = [score["name"] for score in json.loads((output / "model" / "metrics.json").read_text())["scores"]]
    assert "nelbo" in names
    shown = run("info", output)
    assert shown.code == 0
    assert "nelbo" in shown.text
    assert run("verify", output).code == 0
    assert run("infill", "-", "-m", output, stdin=b"The [MASK: 2 tokens].").code == 0
    again = run("train", recipe, "--output", output)
    assert (again.code, again.out) == (0, ended.out)
    refused = run("train", recipe, "--output", output, "--resume", "never")
    assert refused.code == 3
    assert "already holds a run" in refused.err
    assert run("train", recipe, "--output", output, "--resume", recipe.parent).code == 3


def test_held_out_text_that_cannot_be_scored_is_refused_before_anything_is_done(recipe: Path) -> None:
    (recipe.parent / "held-out.txt").write_text("日本語" * 20)  # unknown characters, each of them
    ended = run("train", recipe, "--output", recipe.parent / "run", "--set", "data.validation=held-out.txt")
    said = "textdiff: error: data.validation holds nothing that the tokenizer can express; name another text\n"
    assert (ended.code, ended.out, ended.err) == (4, b"", said)
    assert not (recipe.parent / "run").exists()


def test_windows_that_cannot_be_scored_cost_no_run(recipe: Path) -> None:
    """The evaluations within the run look at one window, which holds unknown characters only; that at its end at all."""
    (recipe.parent / "held-out.txt").write_text("日本語" * 20 + TEXT)
    sets = ["data.validation=held-out.txt", "training.eval_windows=1"]
    output = recipe.parent / "run"
    ended = run("train", recipe, "--output", output, "--set", *sets)
    assert ended.code == 0, ended.err
    assert "held-out nelbo is not known: nothing of the text that was chosen can be scored" in ended.err
    assert "± inf" not in ended.err and "nan" not in ended.err and "nelbo" in ended.err.partition("whole:")[2]
    assert (recipe.parent / "run" / "model" / "metrics.json").exists()
    few = run("evaluate", "-m", output, "--data", recipe.parent / "held-out.txt", "--max-windows", 1)
    assert (few.code, few.out) == (4, b"") and "hold nothing that the tokenizer can express; score more" in few.err


def test_one_window_has_no_interval_and_that_is_said(recipe: Path) -> None:
    (recipe.parent / "held-out.txt").write_text("the old house")
    output = recipe.parent / "run"
    ended = run("train", recipe, "--output", output, "--set", "data.validation=held-out.txt")
    assert ended.code == 0, ended.err
    card = (output / "model" / "README.md").read_text()
    for text in (ended.err, card):
        assert "One window was scored; an interval needs more text." in text
        assert "±" not in text and "inf" not in text.replace("infill", "") and "nan" not in text
    assert "nats/token (one window; an interval needs more)" in ended.err


def test_c4_an_interrupted_run_says_how_it_goes_on(recipe: Path) -> None:
    output = recipe.parent / "run"
    step = RunLog.step
    for stop in (1, 3):
        state = f"the same command goes on from {output}/state/step-{stop:08d}"

        def interrupt(log: RunLog, number: int, news: str | None = None, stop: int = stop) -> None:
            step(log, number, news)
            if number == stop:
                signal.raise_signal(signal.SIGINT)

        with patch.object(RunLog, "step", interrupt):
            ended = run("train", recipe, "--output", output)
        assert (ended.code, ended.out) == (130, b"")
        assert ended.err.splitlines()[-1] == f"textdiff: interrupted; {state}"
    assert run("train", recipe, "--output", output).code == 0


def test_an_interrupt_before_the_first_step_says_that_nothing_was_saved(recipe: Path) -> None:
    with patch("textdiff.recipe.running.train", side_effect=KeyboardInterrupt):
        ended = run("train", recipe, "--output", recipe.parent / "run")
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "textdiff: interrupted; nothing had been saved yet")


def test_c3_sigterm_is_75_and_the_same_command_goes_on(recipe: Path) -> None:
    output, step = recipe.parent / "run", RunLog.step

    def preempt(log: RunLog, number: int, news: str | None = None) -> None:
        step(log, number, news)
        if number == 3:
            signal.raise_signal(signal.SIGTERM)

    with patch.object(RunLog, "step", preempt):
        ended = run("train", recipe, "--output", output)
    assert (ended.code, ended.out) == (75, b"")
    state = output / "state" / "step-00000003"
    said = f"textdiff: error: stopped by SIGTERM after step 3; the same command goes on from {state}"
    assert ended.err.splitlines()[-1] == said
    assert run("train", recipe, "--output", output).code == 0
    whole = recipe.parent / "whole"
    assert run("train", recipe, "--output", whole).code == 0
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (output, whole)]
    assert weights[0] == weights[1]


def test_c7_a_damaged_state_is_passed_over_for_an_older_one(recipe: Path) -> None:
    output = recipe.parent / "run"
    assert run("train", recipe, "--output", output).code == 0
    whole = (output / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(output / "model")
    newest, older = (output / "state" / f"step-{step:08d}" for step in (4, 2))
    with (newest / "average.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x77")
    damaged = f"{newest} is damaged and is kept as damaged-step-00000004: average.safetensors: its sha256"
    explicit = run("train", recipe, "--output", output, "--resume", newest)
    assert (explicit.code, "average.safetensors" in explicit.err) == (5, True)
    again = run("train", recipe, "--output", output)
    assert (again.code, damaged in again.err) == (0, True)
    assert (output / "model" / "model.safetensors").read_bytes() == whole
    assert run("verify", newest).code == 0
    for folder in (newest, older):
        (folder / "state.json").write_text("{}")
    none = run("train", recipe, "--output", output)
    assert (none.code, "is intact, so this run cannot go on; choose another --output" in none.err) == (5, True)


def test_c7_a_damaged_state_never_outlives_a_good_one(recipe: Path) -> None:
    """Stopped again before the damaged state's step is reached, with room for one state only."""
    output, step = recipe.parent / "run", RunLog.step

    def stopping(at: int) -> Any:
        def preempt(log: RunLog, number: int, news: str | None = None) -> None:
            step(log, number, news)
            if number == at:
                signal.raise_signal(signal.SIGTERM)

        return patch.object(RunLog, "step", preempt)

    sets = ["--set", "training.max_steps=6"]
    with stopping(4):
        assert run("train", recipe, "--output", output, *sets).code == 75
    with (output / "state" / "step-00000004" / "average.safetensors").open("r+b") as file:
        file.truncate(100)
    with stopping(3):
        assert run("train", recipe, "--output", output, *sets, "training.save_total_limit=1").code == 75
    assert [folder.name for folder in state_folders(output)] == ["step-00000003"]
    assert run("train", recipe, "--output", output, *sets).code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.per_device_train_batch_size=2", "samples_per_step was 4 and is 2"),
        ("training.gradient_accumulation_steps=2", "samples_per_step was 4 and is 8"),
        ("backbone.hidden_size=32", "backbone.hidden_size was 16 and is 32"),
        ("text", "corpus_sha256 was"),
    ],
)
def test_c9_what_may_not_change_is_refused_with_the_difference(recipe: Path, change: str, said: str) -> None:
    output = recipe.parent / "run"
    assert run("train", recipe, "--output", output).code == 0
    if change == "text":
        (recipe.parent / "text.txt").write_text(TEXT.replace("river", "shore"))
    ended = run("train", recipe, "--output", output, *(["--set", change] if change != "text" else []))
    assert (ended.code, ended.out) == (3, b"")
    assert said in ended.err and "is of another run" in ended.err


def test_c9_the_batch_may_be_shared_out_anew_and_the_rate_may_change(recipe: Path) -> None:
    output = recipe.parent / "run"
    assert run("train", recipe, "--output", output, "--set", "training.max_steps=2").code == 0
    parts = ["training.per_device_train_batch_size=2", "training.gradient_accumulation_steps=2"]
    assert run("train", recipe, "--output", output, "--set", *parts, "training.learning_rate=0.5").code == 0
    records = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    starts = [(r["step"], r["training"]["learning_rate"]) for r in records if r["event"] == "start"]
    assert starts == [(0, 0.001), (2, 0.5)]


def test_c9_what_fits_at_once_may_change_and_the_global_batch_may_not(recipe: Path) -> None:
    output = recipe.parent / "run"
    auto = ["training.per_device_train_batch_size=auto", "training.global_batch_size=4"]
    assert run("train", recipe, "--output", output, "--set", "training.max_steps=2").code == 0
    ended = run("train", recipe, "--output", output, "--set", *auto, "training.gradient_checkpointing=true")
    assert (ended.code, "4 samples a step, 4 at once" in ended.err) == (0, True)
    larger = run("train", recipe, "--output", output, "--set", auto[0], "training.global_batch_size=8")
    assert (larger.code, "samples_per_step was 4 and is 8" in larger.err) == (3, True)


def test_c6_a_recipe_of_the_users_own_is_not_written_over(recipe: Path) -> None:
    before = recipe.read_bytes()
    ended = run("train", recipe, "--output", recipe.parent)
    assert (ended.code, recipe.read_bytes()) == (3, before)
    assert "recipe.yaml was not written by textdiff and would be lost" in ended.err
    output = recipe.parent / "run"
    with patch("textdiff.recipe.running.train", side_effect=KeyboardInterrupt):  # before any state was saved
        assert run("train", recipe, "--output", output).code == 130
    assert run("train", recipe, "--output", output, "--set", "training.max_steps=2").code == 0


def test_c1_a_torn_recipe_beside_good_states_costs_nothing(recipe: Path) -> None:
    output = recipe.parent / "run"
    assert run("train", recipe, "--output", output, "--set", "training.max_steps=2").code == 0
    (output / "recipe.yaml").write_text("data: {tr")
    assert run("train", recipe, "--output", output).code == 0
    assert load_recipe(output / "recipe.yaml").training.max_steps == 4


@pytest.mark.parametrize("place", ["text.txt", "text.txt/run", "text.txt/deep/run", "/proc/none/run"])
def test_c6_a_place_that_cannot_be_is_said_at_once(recipe: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    ended = run("train", recipe, "--output", place)
    assert (ended.code, ended.out) == (3, b"")
    assert "is a file" in ended.err or "cannot be made" in ended.err


def test_c10_a_finished_run_has_nothing_to_do(recipe: Path) -> None:
    output = recipe.parent / "run"
    first = run("train", recipe, "--output", output)
    before = {file: file.stat().st_mtime_ns for file in (output / "model").iterdir()}
    again = run("train", recipe, "--output", output)
    assert (again.code, again.out) == (0, first.out)
    assert f"nothing to do: {output} is finished" in again.err
    assert {file: file.stat().st_mtime_ns for file in (output / "model").iterdir()} == before
    longer = run("train", recipe, "--output", output, "--set", "training.max_steps=6")
    assert (longer.code, "nothing to do" in longer.err) == (0, False)
    assert (output / "state" / "step-00000006").is_dir()


def test_c1_what_a_dead_run_left_is_removed_with_a_note(recipe: Path) -> None:
    output = recipe.parent / "run"
    left = output / "state" / ".tmp-step-00000002-999999999"
    left.mkdir(parents=True)
    ended = run("train", recipe, "--output", output)
    assert (ended.code, f"{left} was left half-written" in ended.err, left.exists()) == (0, True, False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--output is missing"),
        (["--set", "training.max_stepz=3", "--dry-run"], 3, "max_stepz: unknown key. Did you mean 'max_steps'?"),
        (["--set", "nonsense", "--dry-run"], 3, "--set expects key=value"),
        (["--set", "data.train=missing.txt", "--output", "run"], 4, "missing.txt was not found"),
    ],
)
def test_what_is_wrong_is_said(
    recipe: Path, words: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe.parent)
    ended = run("train", recipe, *words)
    assert (ended.code, ended.out) == (code, b"")
    assert said in ended.err
    assert not Path("run").exists()


def test_finetuning_goes_on_from_a_model(model: Path, tmp_path: Path) -> None:
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for file in files:
        file.write_text(TEXT)
    output = tmp_path / "run"
    settings = ["training.max_steps=2", "training.per_device_train_batch_size=2"]
    ended = run("finetune", "-m", model, "--data", *files, "--output", output, "--set", *settings)
    assert (ended.code, ended.out) == (0, f"{output / 'model'}\n".encode())
    before, after = Checkpoint.load(model), Checkpoint.load(output / "model")
    assert after.tokenizer.backend.to_str() == before.tokenizer.backend.to_str()
    assert after.model.process == before.model.process
    assert after.samplers == before.samplers
    changed = [
        name
        for name, weights in after.model.state_dict().items()
        if not torch.equal(weights, before.model.state_dict()[name])
    ]
    assert changed
    recorded = load_recipe(output / "recipe.yaml")
    assert recorded.data.train == tuple(map(str, files))
    assert recorded.training.max_steps == 2
    assert textdiff.load(output).infill("The [MASK: 2 tokens].", seed=1).gaps


def test_finetuning_tells_what_it_changed(model: Path, tmp_path: Path) -> None:
    text, output = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT * 16)
    command = ("finetune", "-m", model, "--data", text, "--output", output, "--set", "training.save_steps=5")
    rows = "training.per_device_train_batch_size=2"
    ended = run(*command, rows, "training.max_steps=8", "training.learning_rate=0.01")
    held_out = PreparedRun(load_recipe(output / "recipe.yaml"), Path(), Checkpoint.load(model))
    start = score_held_out(held_out.start.model, held_out.tokenizer, held_out.material.split[1], 0).scores[0]
    metrics = read_json(output / "model" / "metrics.json")
    assert metrics["before"][0] == start.plain()
    assert metrics["scores"][0]["value"] < start.value
    line = next(line for line in ended.err.splitlines() if line.startswith("nelbo ") and "->" in line)
    assert number(start.value, start.standard_error) in line
    assert "not become likelier" not in ended.err and "unigram" not in ended.err.partition("before and after")[2]
    done = run(*command, rows, "training.max_steps=8", "training.learning_rate=0.01")
    assert "nothing to do" in done.err and "before and after" in done.err


def test_finetuning_that_does_harm_says_so(model: Path, tmp_path: Path) -> None:
    text, output = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    sets = ("training.max_steps=4", "training.per_device_train_batch_size=2", "training.learning_rate=3")
    ended = run("finetune", "-m", model, "--data", text, "--output", output, "--set", *sets)
    assert "The held-out text has not become likelier: give more text" in ended.err


def test_a_run_that_goes_on_compares_with_where_it_began(model: Path, tmp_path: Path) -> None:
    text, output = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT)
    sets = ("training.max_steps=6", "training.per_device_train_batch_size=2", "training.save_steps=2")
    whole = ("finetune", "-m", model, "--data", text, "--output")
    run(*whole, output, "--set", *sets)
    first = read_json(output / "model" / "metrics.json")["before"]
    last = max(output.glob("state/step-*"))
    shutil.rmtree(last)
    shutil.rmtree(output / "model")
    with patch("textdiff.recipe.material.score_held_out", wraps=score_held_out) as scored:
        run(*whole, output, "--set", *sets)
    assert scored.call_count == 1  # of what came out: the start was scored by the first run
    assert read_json(output / "model" / "metrics.json")["before"] == first


def test_before_and_after_are_scored_in_windows_as_in_training(tmp_path: Path) -> None:
    """A model that can read much more than a sample has is not asked about all of it."""
    (tmp_path / "text.txt").write_text(TEXT * 4, encoding="utf8")
    save_tiny(tmp_path / "tiny")
    sets = ["context_length=16", "training.max_steps=1", "training.per_device_train_batch_size=2"]
    ended = run(
        *("finetune", "-m", tmp_path / "tiny", "--data", tmp_path / "text.txt", "--output", tmp_path / "run"),
        *("--set", "data.validation_share=0.3", *sets),
    )
    assert ended.code == 0, ended.err
    metrics = read_json(tmp_path / "run" / "model" / "metrics.json")
    for name in ("before", "scores"):
        found = next(score for score in metrics[name] if score["name"] == "nelbo")
        assert "|context:16|" in found["signature"]


def test_finetuning_keeps_what_is_the_models(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    start = tiny_checkpoint("uniform")
    start.model.config.prediction = "posterior"
    recipe = finetuning_recipe(start, "tiny", [str(text)])
    assert recipe.make_process(start.tokenizer.vocabulary) == start.model.process
    assert recipe.backbone == start.model.backbone.config
    assert (recipe.context_length, recipe.prediction) == (CONTEXT, "posterior")
    assert recipe.samplers == DefaultSamplers.of(start.model.process)
    assert [name_of(task) for task in recipe.tasks] == ["gaps", "lengths", "whole"]
    assert (recipe.training.learning_rate, recipe.training.max_steps, recipe.training.warmup_steps) == (3e-4, 100, 5)
    for override in (
        "process.name=absorbing",
        "backbone.hidden_size=8",
        "tokenizer.path=x",
        "prediction=leave_one_out",
    ):
        with pytest.raises(ConfigError, match="the model's own"):
            finetuning_recipe(start, "tiny", [str(text)], [override])
    with pytest.raises(ConfigError, match="at most the model's 64, got 65"):
        finetuning_recipe(start, "tiny", [str(text)], ["context_length=65"])
    assert finetuning_recipe(start, "tiny", [str(text)], ["context_length=32"]).context_length == 32


def test_finetuning_takes_as_many_steps_as_the_text_asks_for(tmp_path: Path) -> None:
    start = tiny_checkpoint()
    found = {}
    for size in (1, 500, 6000):
        text = tmp_path / f"{size}.txt"
        text.write_text(TEXT * size)
        found[size] = finetuning_recipe(start, "tiny", [str(text)]).training
    tokens = len(start.tokenizer.encode(TEXT * 500)) + 2
    assert (found[1].max_steps, found[6000].max_steps) == (100, 2000)
    assert found[500].max_steps == 4 * tokens // (16 * CONTEXT)
    assert 100 < found[500].max_steps < 2000
    assert found[500].warmup_steps == found[500].max_steps // 20
    auto = ["training.per_device_train_batch_size=auto", "training.global_batch_size=32"]
    large = finetuning_recipe(start, "tiny", [str(tmp_path / "500.txt")], auto).training
    assert large.max_steps == 4 * tokens // (32 * CONTEXT)
    few = finetuning_recipe(
        start, "tiny", [str(tmp_path / "1.txt")], ["training.max_steps=40", "training.eval_steps=9"]
    )
    assert (few.training.warmup_steps, few.training.eval_steps) == (2, 9)


def test_a_model_without_a_filler_learns_other_tasks(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM
    from transformers.utils import logging

    folder, text = tmp_path / "bert", tmp_path / "text.txt"
    text.write_text(TEXT)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(TEXT.lower().replace(".", " .").split()))]
    network = BertForMaskedLM(
        BertConfig(
            vocab_size=len(words) + 1,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
        )
    )
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join([*words, "##x"]) + "\n")
    output = tmp_path / "run"
    logging.enable_progress_bar()
    assert run("infill", "-", "-m", folder, stdin=b"the [MASK] house").err == ""
    settings = ["training.max_steps=1", "training.per_device_train_batch_size=2"]
    ended = run("finetune", "-m", folder, "--data", text, "--output", output, "--set", *settings)
    assert (ended.code, ended.err.count("error")) == (0, 0)
    assert [name_of(task) for task in load_recipe(output / "recipe.yaml").tasks] == ["whole", "prefix"]
    assert run("infill", "-", "-m", output, stdin=b"the [MASK: 1 word] house").code == 0


def test_the_scores_of_a_text_of_one_word_are_readable() -> None:
    """A perplexity per word with hundreds of digits once stood here."""
    assert number(1e300, 2e298) == "1.000e+300 ± 2.0e+298"
    assert number(4.899, 0.0326) == "4.899 ± 0.033"
