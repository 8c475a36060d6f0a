"""Translation: BLEU and chrF are sacrebleu's, network calls are those that were made, and the command prints them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pairs import made, sources, trained, write_pairs
from sacrebleu import corpus_bleu, corpus_chrf
from test_targets import model
from tiny import run, save_tiny

from textdiff.corpus import PairOptions
from textdiff.errors import ConfigError, DataError, UsageError
from textdiff.evaluation import evaluate, evaluate_translation, translation_scores
from textdiff.evaluation.benchmark import SamplerEntry, Subject, Suite, TranslationMetric, run_suite
from textdiff.evaluation.benchmark.suite import DataEntry, ModelEntry
from textdiff.infiller import SamplerOptions, Target, load

__all__ = ["model"]  # a fixture

TEXTS = ["a dog runs on the wet grass .", "two men", "the woman reads a long book", "children play", ""]
REFERENCES = [
    "a dog runs over the wet grass .",
    "two men sit on a bench",
    "a woman reads a long book",
    "kids play",
    "a cat sleeps now",
]


def test_the_figures_are_those_of_sacrebleu() -> None:
    targets = [Target(text, (), calls) for calls, text in enumerate(TEXTS, 2)]
    bleu, chrf, calls, length = translation_scores(targets, REFERENCES, {"model": "m"})
    assert bleu.value == pytest.approx(corpus_bleu(TEXTS, [REFERENCES], force=True).score)
    assert chrf.value == pytest.approx(corpus_chrf(TEXTS, [REFERENCES]).score)
    assert (calls.value, calls.n, length.value) == (4.0, 5, pytest.approx(18 / 26))
    assert calls.standard_error == pytest.approx((2.5 / 5) ** 0.5)  # of a mean of five
    assert (
        bleu.signature.startswith("model:m|sacrebleu:nrefs:1|case:mixed|eff:no|tok:13a|")
        and "|order:4" in bleu.signature
    )
    assert "sacrebleu:nrefs:1|case:mixed|eff:yes|nc:6|nw:0|" in chrf.signature and calls.signature == "model:m"
    left_out = [
        corpus_bleu(TEXTS[:i] + TEXTS[i + 1 :], [REFERENCES[:i] + REFERENCES[i + 1 :]], force=True).score
        for i in range(5)
    ]
    mean = sum(left_out) / 5
    assert bleu.standard_error == pytest.approx((sum((x - mean) ** 2 for x in left_out) * 4 / 5) ** 0.5)


def test_each_number_of_steps_is_a_row_and_a_twin_has_one(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 30, seed=5)
    options = SamplerOptions(temperature=0.0)
    rows = evaluate_translation(trained("absorbing"), [path], (1, 3), options=options)
    assert [row.steps for row in rows] == [1, 3]
    for row in rows:
        targets = trained("absorbing").targets(sources(30, seed=5), temperature=0.0, steps=row.steps)
        references = [made(source) for source in sources(30, seed=5)]
        found = {score.name: score for score in row.scores}
        assert found["chrf"].value == pytest.approx(corpus_chrf([t.text for t in targets], [references]).score)
        assert found["network_calls"].value == pytest.approx(sum(t.network_calls for t in targets) / 30)
        assert found["network_calls"].value <= row.steps + 1  # one for the length
        assert f"|steps:{row.steps}|lengths:first|n:1|seed:0" in found["bleu"].signature
    nelbo = evaluate(trained("absorbing"), [path], ["nelbo"])[0]
    data = next(part for part in nelbo.signature.split("|") if part.startswith("data:"))
    assert f"|{data}|" in rows[0].scores[0].signature
    (twin,) = evaluate_translation(trained("autoregressive"), [path], (1, 3), limit=10, options=options)
    assert twin.steps is None and twin.scores[0].n == 10
    assert twin.scores[2].value == pytest.approx(3.5, abs=1)  # letters and the end


def test_the_command_prints_a_table_and_the_same_as_json(model: Path, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 12, seed=5)
    command = ("evaluate", "-m", model, "--data", path, "--metrics", "nelbo,translation", "--steps", "2,1")
    command = (*command, "-n", 2, "--rerank", "mbr", "--temperature", 0)
    ended = run(*command)
    assert ended.code == 0
    lines = ended.text.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("steps "))
    assert lines[header].split("  ")[0] == "steps" and [lines[header + i].split()[0] for i in (1, 2)] == ["2", "1"]
    assert "nelbo" in lines[0] and "|n:2|rerank:mbr|" in ended.text
    found = json.loads(run(*command, "--json").out)
    assert [row["steps"] for row in found["translation"]] == [2, 1]
    assert {score["name"] for score in found["translation"][0]["scores"]} == {
        "bleu",
        "chrf",
        "network_calls",
        "length_ratio",
    }
    direct = evaluate_translation(
        trained("absorbing"), [path], [2], n=2, rerank="mbr", options=SamplerOptions(temperature=0.0)
    )
    assert found["translation"][0]["scores"][0] == direct[0].scores[0].plain()


def test_it_is_a_metric_of_benchmarks(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 8, seed=5)
    suite = Suite(
        models=(ModelEntry("pairs", "default"),),
        data=(DataEntry("letters", str(path)),),
        metrics=(TranslationMetric(limit=6),),
        samplers=(SamplerEntry("confidence", "confidence", steps=(1, 3), temperature=0.0),),
    )
    cells = run_suite(suite, tmp_path / "out", lambda name: trained("absorbing"))
    assert [cell.id for cell in cells] == [f"pairs/letters/translation/confidence,steps={k}" for k in (1, 3)]
    options = SamplerOptions("confidence", temperature=0.0)
    direct = evaluate_translation(trained("absorbing"), [path], (1, 3), limit=6, options=options)
    for cell, row in zip(cells, direct, strict=True):
        assert tuple(figure.score for figure in cell.figures) == row.scores
    with pytest.raises(ConfigError, match="must be at least 1"):
        TranslationMetric(candidates=0)
    with pytest.raises(UsageError):
        list(TranslationMetric().measure(Subject(load("default"), [path], setting=suite.settings()[0])))


def test_what_cannot_be_measured_is_refused(model: Path, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl", 3)
    command = ("evaluate", "-m", model, "--data", path, "--metrics", "translation")
    for words, message in [
        (("--steps", "4,x"), "--steps takes numbers of at least 1 such as 4,10, got 'x'"),
        (("--steps", "0"), "got '0'"),
        (("--source-column", "de"), "there is no column 'de'"),
    ]:
        ended = run(*command, *words)
        assert ended.code in (2, 4) and message in ended.err
    ended = run(*command[:1], "-m", save_tiny(tmp_path / "tiny"), *command[3:])
    assert ended.code == 2 and "was not trained on pairs" in ended.err
    with pytest.raises(UsageError, match="steps and the number of pairs must be at least 1"):
        evaluate_translation(trained("absorbing"), [path], [0])
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match="there is no pair"):
        evaluate_translation(trained("absorbing"), [tmp_path / "none.jsonl"], pairs=PairOptions())
