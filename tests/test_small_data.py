"""T4: corpora of odd sizes train for as many steps as were asked for, or are refused; none keeps a run from its end."""

from __future__ import annotations

import json
import math
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny import run, save_tiny
from wordpieces import wordpiece

from textdiff.data import PackedCorpus
from textdiff.data.packing import encode_corpus
from textdiff.errors import DataError

RECIPE = """
context_length: 16
data: {train: rows.jsonl, validation_share: 0}
tokenizer: {kind: characters, vocab_size: 64}
backbone: {name: dit, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
training: {max_steps: 3, per_device_train_batch_size: 8, eval_steps: 1, logging_steps: 1}
"""
CORPORA = {
    "one giant among small": ["the rain fell " * 20_000, "a", "river"],
    "an empty one": ["one river", "", "two gardens"],
    "the first is empty": ["", "one river"],
    "duplicates": ["one river"] * 200,
    "smaller than a batch": ["one river", "two gardens"],
    "one": ["one river in the garden"],
    "one of a word": ["river"],
    "one of a character": ["a"],
}
PATIENCE = 20.0


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def write(texts: list[str]) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.mark.parametrize("separate", ["false", "true"])
@pytest.mark.parametrize("share", [0, 0.5])
@pytest.mark.parametrize("name", CORPORA)
def test_t4_a_corpus_of_any_size_trains_for_its_steps(desk: Path, name: str, share: float, separate: str) -> None:
    """Held-out text of a few tokens is not scored for ever either."""
    write(CORPORA[name])
    sets = [f"data.validation_share={share}", f"data.separate_documents={separate}", "tokenizer.kind=byte_bpe"]
    began = time.monotonic()
    ended = run("train", "recipe.yaml", "--output", "run", "--set", *sets, "tokenizer.vocab_size=300")
    assert time.monotonic() - began < PATIENCE
    assert (ended.code, ended.out) == (0, b"run/model\n"), ended.err
    records = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["event"] == "step"]
    assert [record["step"] for record in steps] == [1, 2, 3]
    assert all(math.isfinite(record["loss"]) and record["tokens"] > 0 for record in steps)
    scores = json.loads(Path("run/model/metrics.json").read_text())["scores"]
    assert share or scores == []
    assert all(math.isfinite(score["value"]) for score in scores if score["name"] == "nelbo")


@pytest.mark.parametrize("texts", [[""], ["", " ", "\n"]])
def test_t4_nothing_but_empty_ones_is_refused(desk: Path, texts: list[str]) -> None:
    write(texts)
    ended = run("train", "recipe.yaml", "--output", "run")
    assert (ended.code, ended.out) == (4, b"") and "rows.jsonl holds no text" in ended.err
    assert not Path("run").exists()


def test_t4_less_than_two_tokens_are_refused() -> None:
    """Where a tokenizer puts no ends around a document, a character may be all there is."""
    with pytest.raises(DataError, match="the corpus holds less than two tokens"):
        encode_corpus(["a"], wordpiece())
    assert len(encode_corpus(["a", "b"], wordpiece())) == 2


@pytest.mark.parametrize("name", ["one", "one of a character", "an empty one", "one giant among small"])
def test_t4_other_commands_come_to_an_end_too(desk: Path, name: str, tmp_path: Path) -> None:
    write(CORPORA[name])
    model, began = save_tiny(tmp_path / "model"), time.monotonic()
    some = ["--max-windows", "4"]
    assert run("evaluate", "-m", model, "--data", "rows.jsonl", *some).code == 0
    assert run("tokenizer", "train", "--data", "rows.jsonl", "--output", "tokenizer").code == 0
    assert run("data", "prepare", "--data", "rows.jsonl", "--tokenizer", model, "--output", "prepared").code == 0
    steps = ["--set", "training.max_steps=2"]
    assert run("finetune", "-m", model, "--data", "prepared", "--output", "run", *steps).code == 0
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("size", [2, 3, 15, 16, 17, 33])
def test_t4_a_batch_may_go_round_a_small_corpus_many_times(size: int) -> None:
    """Window after window, each as often as the others; no window is empty."""
    corpus = PackedCorpus(np.arange(size, dtype=np.int32), 16, seed=3)
    seen = [corpus.window(number) for number in range(6 * corpus.windows)]
    assert {len(window) for window in seen} == {min(size, 16)}
    for window in seen:
        assert all(int(b) - int(a) == 1 for a, b in pairwise(window))
    epochs = [seen[start : start + corpus.windows] for start in range(0, len(seen), corpus.windows)]
    assert all(len({int(window[0]) for window in epoch}) == corpus.windows for epoch in epochs)
