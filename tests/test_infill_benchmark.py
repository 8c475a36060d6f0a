"""The infilling benchmark as a whole: everything is measured, signed and printed."""

from __future__ import annotations

import json
import math
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from infill_samples import TEXT, looking_infiller, named
from test_infiller import infiller_of
from tiny import run, save_tiny, tiny_checkpoint

from textdiff.errors import DataError
from textdiff.evaluation import case_sets, evaluate_infilling
from textdiff.evaluation.infilling import BASELINES, GapCase, Way, joint_way, make_cases
from textdiff.evaluation.infilling.sets import CaseSet
from textdiff.infiller import Infiller
from textdiff.processes import AbsorbingProcess, UniformProcess


@pytest.fixture(scope="module")
def infiller() -> Infiller:
    return looking_infiller()


@pytest.fixture(scope="module")
def passage() -> str:
    return TEXT[:6000]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, passage: str) -> Path:
    path = tmp_path_factory.mktemp("text") / "held-out.txt"
    path.write_text(passage, encoding="utf8")
    return path


def test_everything_is_measured_and_signed(infiller: Infiller, file: Path) -> None:
    sets = case_sets(infiller, [file], ["words", "several"], 2, context=40)
    ways = [joint_way("true"), joint_way("auto"), *BASELINES[2:3], *BASELINES[8:]]
    told: list[tuple[str, int, int]] = []
    watch = lambda *said: told.append(said)  # noqa: E731
    report = evaluate_infilling(infiller, sets, ways, repeats=1, score_fills=True, on_progress=watch)
    whole = [row for row in report.rows if row.words is None]
    assert [(row.kind, row.way) for row in whole] == [(kind, way) for kind in ("words", "several") for way in ways]
    for row in whole:
        found = named(row.scores)
        told_tokens = row.way.length == "true"
        assert ("token_accuracy" in found) == told_tokens and "fill_nelbo" in found
        assert ("bits_per_byte" in found) == told_tokens
        assert found["exact_match"].n == sum(len(case.truth) for s in sets if s.kind == row.kind for case in s.cases)
        sign = found["exact_match"].signature
        parts = dict(part.split(":", 1) for part in sign.split("|"))
        assert parts["method"] == row.way.method and parts["length"] == row.way.length
        assert {"model", "process", "tokenizer", "context", "version", "gaps", "shown", "cases", "seed"} <= parts.keys()
        assert {"case_seed", "sampler", "repeats"} <= parts.keys() and "scorer:sacrebleu" in found["chrf"].signature
    lengths = [row.words for row in report.rows if row.kind == "words" and row.way == ways[0]]
    assert lengths == [None, 2, 3]
    against = [contrast.second for contrast in report.contrasts if contrast.kind == "several"]
    assert against == ways[1:]
    assert ("several, joint/true, likelihood", 2, 2) in told and ("words, joint/auto, fills", 2, 2) in told
    again = evaluate_infilling(infiller, sets, ways[:1], repeats=1)
    for a, b in zip(again.rows[0].scores, (s for s in whole[0].scores if s.name != "fill_nelbo"), strict=True):
        assert a == b


def test_the_same_noise_for_all_methods(infiller: Infiller) -> None:
    """A document with one gap, nothing to its right: joint, alone and left-only are one and the same law."""
    cases = [GapCase("words", ("The old house stood ", ""), (("by the river",),))] * 4
    report = evaluate_infilling(
        infiller,
        [CaseSet(tuple(cases), {})],
        [joint_way("true"), Way("gap_alone", "true")],
        repeats=2,
    )
    values = [named(row.scores)["bits_per_byte"].value for row in report.rows if row.words is None]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_signatures_tell_runs_apart(infiller: Infiller, passage: str) -> None:
    def sign(cases: int = 2, **options: Any) -> str:
        found = CaseSet(tuple(make_cases([passage], "word", cases, context=40)), {"gaps": "word"})
        way = options.pop("way", "auto")
        return evaluate_infilling(infiller, [found], [joint_way(way)], repeats=1, **options).rows[0].scores[0].signature

    signs = [sign(), sign(3), sign(seed=1), sign(way="true"), sign(options={"steps": 2})]
    assert len({*signs}) == 5 and sign() == signs[0]


def test_models_without_masks_have_no_masks_to_fill(passage: str) -> None:
    infiller = infiller_of(UniformProcess)
    cases = CaseSet(tuple(make_cases([passage], "word", 2, context=30)), {})
    report = evaluate_infilling(infiller, [cases], [joint_way("true"), *BASELINES[8:]], repeats=1)
    assert {row.way.method for row in report.rows} == {"joint", "most_frequent"}
    found = named(report.rows[0].scores)
    assert math.isfinite(found["bits_per_byte"].value)


def test_the_context_shrinks_until_the_model_sees_all(file: Path) -> None:
    short = infiller_of(AbsorbingProcess)
    (found,) = case_sets(short, [file], ["word"], 5)
    assert found.parts["shown"] in (40, 80) and short.context_length == 96
    rows = [len(short.tokenizer.encode(case.filled(case.truth))) for case in found.cases]
    assert max(rows) + 32 <= 96
    tiny = Infiller(tiny_checkpoint(context_length=40).model, short.tokenizer, short.samplers, "t")
    with pytest.raises(DataError, match="context of 40 tokens is too short"):
        case_sets(tiny, [file], ["sentence"], 5)


def test_given_cases_and_texts_can_be_mixed(infiller: Infiller, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    row = {"before": "The old ", "middle": ["house", "dog"], "after": " stood by the river."}
    path.write_text("".join(json.dumps(row | {"before": f"{i} old "}) + "\n" for i in range(10)))
    first, second = case_sets(infiller, [path, file], ["word"], 4, context=30)
    assert [case.given[0][0] for case in first.cases] == ["0", "2", "5", "7"] and second.kind == "word"
    report = evaluate_infilling(infiller, [first], [joint_way("true")], repeats=1)
    assert named(report.rows[0].scores)["bleu"].signature.count("nrefs:2") == 1


def test_the_command_prints_tables_and_json(file: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    tiny_checkpoint(context_length=256).save(model)
    words = ["evaluate", "-m", model, "--data", file, "--metrics", "infill", "--cases", 2, "--kinds", "several"]
    ended = run(*words, "--lengths", "true,2", "--baselines")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.text.splitlines()
    assert re.fullmatch(r"several gaps: \d gaps", lines[0]) and lines[1].split()[:4] == [
        "exact",
        "token",
        "acc",
        "BLEU",
    ]
    assert any(line.startswith("masks_in_turn/true") for line in lines)
    assert (
        "several gaps: exact by number of words" in lines
        and "several gaps: joint/true minus others, same cases" in lines
    )
    found = json.loads(run(*words, "--json", "--repeats", 1).out)
    assert found["scores"] == [] and {row["way"] for row in found["infill"]["rows"]} == {"joint/true", "joint/auto"}
    assert found["infill"]["rows"][0]["scores"][0]["signature"].count("method:joint") == 1
    both = run(*words, "--metrics", "entropy,infill", "--lengths", "1").text
    assert both.startswith("unigram_entropy") and "joint/1 " in both
    assert "before, middle" in " ".join(run("evaluate", "--help").text.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kinds", "wrod"], "no kind of gap is named 'wrod'. Did you mean 'word'?"),
        (["--lengths", "long"], "a length must be a number of tokens or one of true"),
        (["--metrics", "infil"], "no metric is named 'infil'. Did you mean 'infill'?"),
        (["--cases", "0"], "--cases"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(words: list[str], said: str, file: Path) -> None:
    ended = run("evaluate", "-m", "nowhere", "--data", file, "--metrics", "infill", *words)
    assert (ended.code, ended.out) == (2, b"") and said in ended.err


def test_the_script_writes_markdown(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parent.parent / "scripts" / "bench_infilling.py"
    words = (
        f"{file} -m {save_tiny(tmp_path / 'tiny')} --cases 2 --kinds word --lengths true --methods masks_at_once/true"
    )
    words += f" --show 1 --option steps=2 --option temperature=0 --json {tmp_path / 'scores.json'}"
    monkeypatch.setattr(sys, "argv", [str(script), *words.split()])
    runpy.run_path(str(script), run_name="__main__")
    out = capsys.readouterr().out.splitlines()
    assert "one word: 2 gaps" in out and any(line.startswith("| joint/true | ") for line in out)
    assert any("->" in line for line in out)
    assert [row["way"] for row in json.loads((tmp_path / "scores.json").read_text())["rows"]] == [
        "joint/true",
        "masks_at_once/true",
    ]
