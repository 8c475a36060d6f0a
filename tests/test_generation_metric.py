"""The metric generation as a whole: texts are those of `generate`, rows are what was asked for, and commands print them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from scorers import save_scorer
from test_infiller import infiller_of
from tiny import TEXT, run, save_tiny, senseless_checkpoint

import textdiff
from textdiff.errors import ConfigError, DataError, ResourceError, UsageError
from textdiff.evaluation import GenerationTask, Scorer, evaluate_generation
from textdiff.evaluation.benchmark import GenerationMetric, read_report
from textdiff.evaluation.generation.excerpts import Passage, take_excerpts
from textdiff.files import dump_yaml
from textdiff.infiller import Infiller, SamplerOptions
from textdiff.infiller.going_on import go_on
from textdiff.metrics import Score
from textdiff.processes import AbsorbingProcess

NAMES = ["text_entropy", "repetition", "distinct_1", "distinct_2", "distinct_3", "self_bleu"]


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    made = senseless_checkpoint()
    return Infiller(made.model, made.tokenizer, made.samplers, "senseless")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "held-out.txt"
    path.write_text(TEXT * 4, encoding="utf8")
    return path


def named(scores: tuple[Score, ...]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def test_texts_are_those_of_generate(infiller: Infiller, file: Path) -> None:
    options = SamplerOptions(steps=4, temperature=0.7)
    told: list[tuple[str, int, int]] = []
    watch = lambda *said: told.append(said)  # noqa: E731
    (row,) = evaluate_generation(infiller, [file], [options], GenerationTask(35, 8), seed=3, on_progress=watch)
    made = infiller.generate(n=35, max_new_tokens=8, steps=4, temperature=0.7, seed=3)
    assert list(row.texts) == [sample.text for sample in made.samples] and len({*row.texts}) > 30
    assert told == [("texts", 32, 35), ("texts", 35, 35)]
    scores = named(row.scores)
    assert list(scores) == [*NAMES, "network_calls"]
    assert 1 < scores["network_calls"].value <= made.stats.nfe == 4
    fewer = evaluate_generation(infiller, [file], [options], GenerationTask(5, 8), seed=3)
    assert fewer[0].texts == row.texts[:5]


def test_prompts_are_gone_on_from(infiller: Infiller, file: Path) -> None:
    """Each from its own; the held-out row has what followed them."""
    task = GenerationTask(6, 5, 7)
    held_out, drawn = evaluate_generation(infiller, [file], [None, SamplerOptions(steps=3)], task, seed=1)
    excerpts = take_excerpts([TEXT * 4], infiller.tokenizer, 6, 7, 5)
    assert list(held_out.texts) == [infiller.tokenizer.decode(excerpt.rest) for excerpt in excerpts]
    sampler = SamplerOptions(steps=3).apply(infiller.samplers.generate)
    given = [[*infiller.tokenizer.prefix_ids, *excerpt.prompt] for excerpt in excerpts]
    written = go_on(infiller.model, infiller.tokenizer, sampler, given, 5, 1)
    assert list(drawn.texts) == [infiller.tokenizer.decode(ids[-5:]) for ids in written.ids.tolist()]
    alone = go_on(infiller.model, infiller.tokenizer, sampler, given[4:5], 5, 1, numbers=[4])
    assert written.ids[4].tolist() == alone.ids[0].tolist()


def test_signatures_say_what_a_row_depends_on(infiller: Infiller, file: Path, tmp_path: Path) -> None:
    scorer = Scorer.load(str(save_scorer(tmp_path / "scorer")))
    reference = tmp_path / "reference.txt"
    reference.write_text(TEXT)
    task = GenerationTask(4, 32, 0, (reference,))
    rows = [None, *(SamplerOptions(steps=2, temperature=t) for t in (0.0, 1.0))]
    held_out, cold, warm = (
        named(row.scores) for row in evaluate_generation(infiller, [file], rows, task, scorer=scorer, seed=5)
    )
    assert list(cold) == ["generative_perplexity", *NAMES, "novelty", "network_calls"]
    assert held_out["novelty"].value == 0 and held_out["novelty"].n > 20
    parts = [
        dict(part.split(":", 1) for part in row["generative_perplexity"].signature.split("|")) for row in (cold, warm)
    ]
    assert {key for key in parts[0] if parts[0][key] != parts[1][key]} == {"sampler"}
    assert parts[0]["scorer"] == scorer.sha256 and parts[0]["bos"] == "[END]" and parts[0]["seed"] == "5"
    own = {"tokenizer", "version", "data", "samples", "new_tokens", "prompt_tokens", "scorer", "bos"}
    assert {part.split(":")[0] for part in held_out["generative_perplexity"].signature.split("|")} == own
    assert cold["text_entropy"].value < warm["text_entropy"].value


def test_the_command_prints_a_frontier_and_the_same_as_json(file: Path, tmp_path: Path) -> None:
    scorer = save_scorer(tmp_path / "scorer")
    command = ("evaluate", "-m", save_tiny(tmp_path / "tiny"), "--data", file, "--metrics", "generation,entropy")
    command = (*command, "--samples", 3, "--max-new-tokens", 32, "--steps", 2, "--reference", file)
    command = (*command, "--temperatures", "0.5,1", "--top-ps", "0.9")
    ended = run(*command, "--scorer", scorer)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("texts "))
    header = "texts perplexity entropy repeated distinct-1 distinct-2 distinct-3 self-BLEU novel calls"
    assert lines[start].split() == header.split() and lines[0].startswith("unigram_entropy")
    assert [line.split("  ")[0] for line in lines[start + 1 : start + 4]] == [
        "held-out text",
        "steps 2, temperature 0.5, top-p 0.9",
        "steps 2, temperature 1, top-p 0.9",
    ]
    assert all("[" in line for line in lines[start + 1 : start + 4]) and "3 texts a line." in ended.text
    without = run(*command, "--json").out
    found = json.loads(without)
    assert [row["options"] for row in found["generation"]] == [
        None,
        {"steps": 2, "temperature": 0.5, "top_p": 0.9},
        {"steps": 2, "temperature": 1.0, "top_p": 0.9},
    ]
    assert "generative_perplexity" not in without.decode() and len(found["generation"][1]["texts"]) == 3


def test_mauve_is_measured_where_it_is_asked_for(
    infiller: Infiller, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the package in place of which here stands the distance of the means."""
    folder = save_scorer(tmp_path / "scorer")
    scorer = Scorer.load(str(folder))
    rows, task = [None, SamplerOptions(steps=2)], GenerationTask(4, 8, mauve=True)
    if importlib.util.find_spec("mauve") is None:
        with pytest.raises(ResourceError, match="the package mauve-text is not installed: pip install"):
            evaluate_generation(infiller, [file], rows, task, scorer=scorer)
    seen = []

    def distance(true: Any, written: Any, seed: int) -> float:
        seen.extend([true, written])
        return float(abs(true.mean() - written.mean())) + seed

    monkeypatch.setattr("textdiff.evaluation.generation.running.mauve", distance)
    monkeypatch.setattr("textdiff.evaluation.generation.running.require_mauve", lambda: "0.4.0")
    with pytest.raises(UsageError, match="mauve compares the hidden states of a scorer: name one"):
        evaluate_generation(infiller, [file], rows, task)
    held_out, drawn = evaluate_generation(infiller, [file], rows, task, scorer=scorer, seed=2)
    assert "mauve" not in named(held_out.scores)
    score = named(drawn.scores)["mauve"]
    assert score.value > 2 and score.signature.endswith(f"|scorer:{scorer.sha256}|bos:[END]|mauve:0.4.0")
    excerpts = take_excerpts([TEXT * 4], infiller.tokenizer, 4, 0, 8)
    assert (seen[0] == scorer.features([excerpt.passage(infiller.tokenizer) for excerpt in excerpts])).all()
    assert (seen[1] == scorer.features([Passage("", text) for text in drawn.texts])).all()
    with pytest.raises(ConfigError, match="name one"):
        GenerationMetric(mauve=True)


def test_what_cannot_be_measured_is_refused(file: Path, tmp_path: Path) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    for words, code, said in [
        (("--temperatures", "1,x"), 2, "--temperatures takes numbers such as 0.7,1, got '1,x'"),
        (("--top-ps", "1.5"), 2, "1.5"),
        (("--temperatures", "-1"), 2, "temperature"),
        (("--scorer", "nowhere"), 5, "'nowhere' is no model"),
        (("--reference", "gone.txt"), 4, "gone.txt is missing"),
        (("--samples", "1000"), 4, "and 1000 are asked for"),
        (("--max-new-tokens", "70"), 2, "has room for"),
    ]:
        ended = run("evaluate", "-m", tiny, "--data", file, "--metrics", "generation", "--max-new-tokens", 32, *words)
        assert ended.code == code and said in ended.err, ended.err
    with pytest.raises(UsageError, match="at least 2 samples"):
        GenerationTask(1)
    (tmp_path / "short.txt").write_text("a b")
    with pytest.raises(DataError, match="has 0 stretches of 8 tokens"):
        evaluate_generation(infiller_of(AbsorbingProcess), [tmp_path / "short.txt"], [None], GenerationTask(2, 8))


def write_suite(folder: Path, scorer: str, **options: object) -> Path:
    """A suite of the metric alone, beside the files that it names."""
    metric = {"name": "generation", "samples": 3, "new_tokens": 24, "scorer": scorer, "reference": "text.txt"} | options
    plain = {
        "models": [{"name": "tiny", "model": "tiny"}],
        "data": [{"name": "house", "files": "text.txt"}],
        "metrics": [metric],
        "samplers": [{"name": "ancestral", "sampler": "ancestral", "steps": 2, "temperature": [0.5, 1]}],
    }
    path = folder / "suite.yaml"
    path.write_text(dump_yaml(plain))
    return path


def test_it_is_a_metric_of_benchmarks(file: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    scorer = save_scorer(tmp_path / "scorer")
    (tmp_path / "text.txt").write_text(file.read_text())
    source = write_suite(tmp_path, "scorer")
    ended = run("benchmark", source, "--output", tmp_path / "out")
    assert ended.code == 0, ended.err
    report = read_report(tmp_path / "out")
    assert [cell.setting for cell in report.cells] == ["", "ancestral,temperature=0.5", "ancestral,temperature=1"]
    options = [None, *(SamplerOptions("ancestral", 2, temperature) for temperature in (0.5, 1.0))]
    task = GenerationTask(3, 24, 0, (tmp_path / "text.txt",))
    infiller = textdiff.load(str(tmp_path / "tiny"))
    rows = evaluate_generation(infiller, [file], options, task, scorer=Scorer.load(str(scorer)))
    for cell, row in zip(report.cells, rows, strict=True):
        assert [f.score.plain() for f in cell.figures] == [score.plain() for score in row.scores]
    page = (tmp_path / "out" / "report.md").read_text()
    assert "held\\-out text" in page or "held-out text" in page
    assert "perplexity/piece" in page and "distinct-2 (share)" in page and "novelty (share)" in page
    scorer.joinpath("config.json").open("a").write("\n")
    ended = run("benchmark", source, "--output", tmp_path / "out")
    assert ended.code == 3 and "another suite (metrics.generation.scorer" in ended.err
    ended = run("benchmark", write_suite(tmp_path, "scorer", samples=1), "--output", tmp_path / "out")
    assert ended.code == 3 and "metrics[0]: generation takes at least 2 samples" in ended.err
    ended = run("benchmark", write_suite(tmp_path, "scorer", reference="gone.txt"))
    assert ended.code == 4 and "gone.txt" in ended.err
