"""Two reports of `textdiff benchmark` against each other."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TEXT, run, save_tiny

from textdiff.errors import DataError
from textdiff.evaluation.benchmark import Comparison, Figure, Report, ReportCell, compare, read_report
from textdiff.files import dump_yaml
from textdiff.metrics import Score

SIGN = "model:a|process:absorbing|tokenizer:t|context:64|version:1|data:d|seed:0"


def score(
    value: float, error: float | None = 0.1, name: str = "nelbo", unit: str = "nats/token", sign: str = SIGN
) -> Score:
    return Score(name, value, unit, 100, error, sign)


def report(*scores: Score, model: str = "one", kind: str = "entropy") -> Report:
    cell = ReportCell(
        f"{model}/text/{kind}", model, "text", kind, kind, "", "", {}, tuple(map(Figure, scores)), None, 1.0, "cpu", ""
    )
    return Report("", "", "1", 0, "", ({"name": model},), (), (), (), (cell,))


def test_the_error_of_a_difference_and_its_verdict() -> None:
    """z = 0.5 / hypot(0.3, 0.4) = 1: a chance of 0.317; and of z = 5 one far below the level."""
    found = compare(report(score(2.0, 0.3)), report(score(2.5, 0.4), model="two")).differences[0]
    assert found.value == 0.5 and found.standard_error == 0.5
    assert math.isclose(found.chance, 0.31731, abs_tol=1e-5) and found.exceeds is False
    far = compare(report(score(2.0, 0.3)), report(score(4.5, 0.4))).differences[0]
    assert math.isclose(far.chance, 5.733e-7, rel_tol=1e-3) and far.exceeds is True


def test_many_differences_are_judged_together() -> None:
    """Of the chances the first is below 0.05 / 4, the second not below 0.05 / 3, and so the third does not count: 0.05 / 2."""
    sizes = [2.5758, 2.3263, 2.3080, 1.2816]
    names = ["a", "b", "c", "d"]
    first = report(*(score(0.0, None, name) for name in names))
    second = report(*(score(size, 1.0, name) for size, name in zip(sizes, names, strict=True)))
    found = compare(first, second).differences
    assert [round(each.chance, 3) for each in found] == [0.01, 0.02, 0.021, 0.2]
    assert [each.exceeds for each in found] == [True, False, False, False]
    alone = compare(report(score(0.0, None, "b")), report(score(sizes[1], 1.0, "b"))).differences
    assert [each.exceeds for each in alone] == [True]


@pytest.mark.parametrize(
    ("errors", "change", "exceeds"),
    [
        ((None, None), 0.0, False),
        ((None, None), 1e-9, True),
        ((0.0, 0.0), 0.5, None),
        ((math.inf, 0.1), 9.0, None),
        ((None, 0.1), 9.0, True),
    ],
)
def test_scores_without_an_error_or_with_an_unknown_one(
    errors: tuple[float | None, float | None], change: float, exceeds: bool | None
) -> None:
    found = compare(report(score(1.0, errors[0])), report(score(1.0 + change, errors[1]))).differences
    assert [each.exceeds for each in found] == [exceeds]


@pytest.mark.parametrize(
    ("name", "unit", "old", "new", "reason"),
    [
        ("nelbo", "nats/token", "model:a", "model:b", None),
        ("nelbo", "nats/token", "process:absorbing", "process:uniform", "different noise families"),
        ("x", "perplexity/word", "process:absorbing", "process:uniform", "different noise families"),
        ("bits_per_byte", "bits/byte", "context:64", "context:128", r"context \(64 against 128\)"),
        ("bits_per_byte", "bits/byte", "tokenizer:t", "tokenizer:u", None),
        ("nelbo", "nats/token", "tokenizer:t", "tokenizer:u", "their tokens are not the same"),
        ("exact_match", "share", "process:absorbing", "process:uniform", None),
        ("exact_match", "share", "context:64", "context:128", None),
        ("exact_match", "share", "data:d", "data:e", r"data \(d against e\)"),
        ("exact_match", "share", "seed:0", "seed:1", r"seed \(0 against 1\)"),
        ("exact_match", "share", "version:1", "version:2", r"version \(1 against 2\)"),
        ("exact_match", "share", "|seed:0", "|steps:3|seed:0", r"steps \(none against 3\)"),
    ],
)
def test_what_was_not_measured_alike_is_refused(name: str, unit: str, old: str, new: str, reason: str | None) -> None:
    assert old in SIGN
    pair = score(1.0, 0.1, name, unit), score(1.0, 0.1, name, unit, SIGN.replace(old, new))
    if reason is None:
        assert compare(report(pair[0]), report(pair[1])).refused == ()
        return
    for one, other in (pair, pair[::-1]):
        with pytest.raises(DataError, match="nothing in these reports can be compared: "):
            compare(report(one), report(other))
    with pytest.raises(DataError, match=reason):
        compare(report(pair[0]), report(pair[1]))
    beside = score(1.0, name="beside")
    mixed = compare(report(pair[0], beside), report(pair[1], beside))
    assert [(place.name, why) for place, why in mixed.refused] == [(name, mixed.refused[0][1])]
    assert [difference.place.name for difference in mixed.differences] == ["beside"]


def test_a_scorer_from_outside_may_compare_noise_families() -> None:
    signs = [f"{SIGN.replace('absorbing', process)}|scorer:gpt" for process in ("absorbing", "uniform")]
    reports = [report(score(9.0, 0.1, "generative", "perplexity/token", sign)) for sign in signs]
    assert len(compare(*reports).differences) == 1


def test_units_must_agree_and_several_models_are_matched_by_name() -> None:
    with pytest.raises(DataError, match="the units differ: nats/token against bits/byte"):
        compare(report(score(1.0)), report(score(1.0, unit="bits/byte")))
    one = report(score(1.0))
    two = replace(one, models=({"name": "one"}, {"name": "two"}))
    assert compare(two, one).differences[0].place.model == "one"
    with pytest.raises(DataError, match="in common"):
        compare(two, report(score(1.0), model="two"))


@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a report of a tiny model of this process."""
    folder = tmp_path_factory.mktemp("compare")
    words = TEXT.split()
    (folder / "text.txt").write_text("\n".join(" ".join(words[i : i + 15]) for i in range(0, 60, 3)), encoding="utf8")

    def make(process: str) -> Path:
        save_tiny(folder / process, process)
        infill = {"name": "infill", "cases": 2, "words": [1, 2], "context": 40, "lengths": ["true"], "repeats": 1}
        suite = {
            "models": [{"name": process, "model": process}],
            "data": [{"name": "house", "files": "text.txt"}],
            "metrics": ["nelbo", "entropy", infill],
            "samplers": [{"name": "posterior", "sampler": "posterior", "steps": 2}],
        }
        (folder / f"{process}.yaml").write_text(dump_yaml(suite), encoding="utf8")
        ended = run("benchmark", folder / f"{process}.yaml", "-o", folder / f"{process}-report")
        assert ended.code == 0, ended.err
        return folder / f"{process}-report"

    return make


def test_the_command(benched: Callable[[str], Path], tmp_path: Path) -> None:
    one, other = benched("absorbing"), benched("uniform")
    same = compare(read_report(one), read_report(one))
    assert same.refused == () and not any(each.exceeds for each in same.differences)
    assert {each.value for each in same.differences} == {0.0}
    ended = run("benchmark", "--compare", one, other / "report.json")
    assert ended.code == 0, ended.err
    assert "exact match (share)" in ended.text and "B - A" in ended.text
    assert "Not compared: nelbo, bits_per_byte, perplexity_per_token" in ended.text
    assert "different noise families" in ended.text
    plain = json.loads(run("benchmark", "--compare", one, other, "--json").text)
    assert {row["name"] for row in plain["refused"]} >= {"nelbo", "perplexity_per_word"}
    assert {row["name"] for row in plain["differences"]} >= {"exact_match", "unigram_entropy"}
    assert run("benchmark", "--compare", one, tmp_path / "none").code == 4
    (tmp_path / "report.json").write_text("{}")
    ended = run("benchmark", "--compare", one, tmp_path)
    assert ended.code == 4 and "is not a report of `textdiff benchmark`" in ended.err
    assert run("benchmark").code == 2 and run("benchmark", "x.yaml", "--compare", one, one).code == 2


def test_a_comparison_is_plain() -> None:
    found = compare(report(score(1.0)), report(score(2.0)))
    assert isinstance(found, Comparison) and found.alone == (0, 0)
