"""Our metrics as those of the library evaluate: offline, by name and by path, alone and combined."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textdiff.errors import ResourceError, UsageError
from textdiff.metrics import MODULES, distinct, load, module_path, self_bleu

TEXTS = ["a b a b a b", "a b c d", "the rain fell on the garden"]
COSTS = [10.0, 8.0, 20.0]

EXPECTED: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, float]]] = [
    (
        "bits_per_byte",
        {},
        {"predictions": COSTS, "references": ["abc", "é", ""]},
        {"bits_per_byte": 38 / math.log(2) / 5},
    ),
    (
        "perplexity_per_word",
        {},
        {"predictions": COSTS, "references": TEXTS},
        {"perplexity_per_word": math.exp(38 / 16)},
    ),
    (
        "infill_exact_match",
        {},
        {"predictions": ["a", "b", "c "], "references": ["a", "c", "c"]},
        {"infill_exact_match": 1 / 3},
    ),
    (
        "infill_exact_match",
        {},
        {"predictions": ["a", "b"], "references": [["x", "a"], ["b"]]},
        {"infill_exact_match": 1.0},
    ),
    (
        "length_error",
        {},
        {"predictions": ["a b c", "a", ""], "references": ["a", "a b", "a"]},
        {"length_error": 4 / 3, "length_bias": 0.0},
    ),
    ("length_error", {}, {"predictions": ["a b c"], "references": [["a", "a b"]]}, {"length_error": 1.0}),
    (
        "unigram_entropy",
        {},
        {"predictions": TEXTS[:2]},
        {"unigram_entropy": (math.log(2) + math.log(4)) / 2},
    ),
    ("repetition", {}, {"predictions": TEXTS}, {"repetition_4": 1 / 7}),
    ("repetition", {"n": 1}, {"predictions": TEXTS}, {"repetition_1": 5 / 16}),
    ("distinct_n", {}, {"predictions": TEXTS}, {"distinct_2": distinct([text.split() for text in TEXTS], 2)[0]}),
    ("distinct_n", {"n": 1}, {"predictions": TEXTS[:2]}, {"distinct_1": 4 / 10}),
    ("self_bleu", {}, {"predictions": TEXTS}, {"self_bleu": self_bleu(TEXTS)[0]}),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = pytest.importorskip("evaluate")
    for place in ("evaluate.config.HF_METRICS_CACHE", "evaluate.module.config.HF_METRICS_CACHE"):
        monkeypatch.setattr(place, str(tmp_path / "cache"))
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.mark.usefixtures("touched")
@pytest.mark.parametrize(("name", "options", "given", "expected"), EXPECTED)
def test_each_metric_is_the_figure_of_its_texts(
    name: str, options: dict[str, Any], given: dict[str, Any], expected: dict[str, float]
) -> None:
    metric = load(name, **options)
    found = metric.compute(**given)
    assert metric.name == name
    for key, value in expected.items():
        assert found[key] == pytest.approx(value) and f"{key}_standard_error" in found
    assert all(key.removesuffix("_standard_error") in found for key in found)


def test_the_list_of_metrics_is_that_of_the_scripts() -> None:
    folder = module_path(MODULES[0]).parent
    scripts = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert scripts == {*MODULES} == {name for name, *_ in EXPECTED} | {"novelty"}


def test_texts_may_come_a_batch_at_a_time() -> None:
    metric = load("repetition")
    metric.add(prediction=TEXTS[0])
    metric.add_batch(predictions=TEXTS[1:])
    assert metric.compute() == load("repetition").compute(predictions=TEXTS)
    lengths = load("length_error")
    lengths.add_batch(predictions=["a", "b"], references=["a b", "b"])
    assert lengths.compute()["length_error"] == 0.5


def test_novelty_reads_its_reference(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a b c\nd e f")
    (tmp_path / "two.txt").write_text("x y")
    metric = load("novelty", n=2, reference=[tmp_path / "one.txt", str(tmp_path / "two.txt")])
    assert metric.compute(predictions=["a b c d", "y x", "f x y"])["novelty_2"] == 2 / 6
    lines = load("novelty", n=2, reference=tmp_path / "one.txt", unit="line")
    assert lines.compute(predictions=["a b c d"])["novelty_2"] == 1 / 3


@pytest.mark.usefixtures("touched")
def test_they_are_combined_and_loaded_by_path() -> None:
    import evaluate

    by_path = [evaluate.load(str(module_path("distinct_n")), n=n, keep_in_memory=True) for n in (1, 2)]
    entropy = evaluate.load(str(module_path("unigram_entropy")), keep_in_memory=True)
    combined = evaluate.combine([*by_path, entropy, load("self_bleu")])
    found = combined.compute(predictions=TEXTS)
    assert [key for key in found if not key.endswith("_error")] == [
        "distinct_1",
        "distinct_2",
        "unigram_entropy",
        "self_bleu",
    ]
    assert found["distinct_2"] == distinct([text.split() for text in TEXTS], 2)[0]
    costs = evaluate.combine([load("bits_per_byte"), load("perplexity_per_word")])
    assert {"bits_per_byte", "perplexity_per_word"} <= costs.compute(predictions=COSTS, references=TEXTS).keys()


def test_errors_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no metric is named 'distinct'"):
        load("distinct")
    with pytest.raises(UsageError, match="n must be a whole number of at least 1, got 0"):
        load("distinct_n", n=0)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "textdiff.metrics.loading.find_spec", lambda name, *rest: None if name == "evaluate" else find(name, *rest)
    )
    with pytest.raises(ResourceError, match="the package evaluate is not installed"):
        load("distinct_n")


def test_nothing_else_needs_the_library() -> None:
    code = "import sys, textdiff.metrics, textdiff.evaluation, textdiff.cli.app; sys.exit('evaluate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
