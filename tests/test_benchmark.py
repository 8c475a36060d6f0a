"""`textdiff benchmark`: suites, cells that are kept, and reports."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tiny import TEXT, run, save_tiny

import textdiff
from textdiff.errors import ConfigError, DataError, UsageError
from textdiff.evaluation import BenchmarkMetric, evaluate
from textdiff.evaluation.benchmark import CellResult, Figure, Subject, load_suite, read_report, run_suite
from textdiff.evaluation.benchmark.records import read_cell, write_cell
from textdiff.files import dump_yaml
from textdiff.metrics import Score
from textdiff.metrics.student import student_margin
from textdiff.registry import register


@register(BenchmarkMetric, "probe_of_tests")
@dataclass(frozen=True)
class ProbeMetric(BenchmarkMetric):
    """Counts how often it measures, and does it with every sampler; ends where it is told to."""

    number: int = 0
    title: ClassVar[str] = "Probe"
    measured: ClassVar[list[str]] = []
    stop_at: ClassVar[int | None] = None
    error: ClassVar[BaseException] = KeyboardInterrupt()

    def settings(self, settings: Any) -> Any:
        return settings

    def measure(self, subject: Subject) -> Iterator[Figure]:
        if len(self.measured) == ProbeMetric.stop_at:
            raise self.error
        assert subject.setting is not None
        self.measured.append(subject.setting.id)
        yield Figure(Score("steps", len(subject.setting.id), "steps", 1, None, "none"))


@pytest.fixture(autouse=True)
def _fresh_probe() -> None:
    ProbeMetric.measured.clear()
    ProbeMetric.stop_at, ProbeMetric.error = None, KeyboardInterrupt()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a text."""
    folder = tmp_path_factory.mktemp("benchmark")
    save_tiny(folder / "tiny")
    words = TEXT.split()
    (folder / "text.txt").write_text("\n".join(" ".join(words[i : i + 15]) for i in range(0, 60, 3)), encoding="utf8")
    return folder


def suite_of(**changes: Any) -> dict[str, Any]:
    plain = {
        "models": [{"name": "tiny", "model": "tiny"}],
        "data": [{"name": "house", "files": "text.txt"}],
        "metrics": ["probe_of_tests"],
        "samplers": [{"name": "confidence", "sampler": "confidence", "steps": [1, 2, 3]}],
    }
    return plain | changes


def write_suite(place: Path, name: str = "suite.yaml", **changes: Any) -> Path:
    path = place / name
    path.write_text(dump_yaml(suite_of(**changes)), encoding="utf8")
    return path


REAL = [
    {"name": "nelbo", "repeats": 2},
    "entropy",
    {
        "name": "infill",
        "cases": 2,
        "words": [1, 2],
        "context": 40,
        "lengths": ["true", 2],
        "methods": ["left_only/true"],
        "repeats": 1,
    },
]


@pytest.fixture(scope="module")
def made(place: Path) -> tuple[Path, Path]:
    """A suite of the metrics that there are, and the folder of its report."""
    source = write_suite(
        place, "real.yaml", metrics=REAL, samplers=[{"name": "confidence", "sampler": "confidence", "steps": [1, 2]}]
    )
    ended = run("benchmark", source, "--output", place / "real")
    assert ended.code == 0, ended.err
    assert str(place / "real" / "report.md") in ended.text.splitlines()
    assert "5/5 tiny/house/infill: " in ended.err
    return source, place / "real"


def test_the_report_holds_what_evaluate_finds(place: Path, made: tuple[Path, Path]) -> None:
    report = read_report(made[1])
    cells = {cell.id: cell for cell in report.cells}
    assert [*cells] == [
        "tiny/house/nelbo",
        "tiny/house/entropy",
        "tiny/house/infill/confidence,steps=1",
        "tiny/house/infill/confidence,steps=2",
        "tiny/house/infill",
    ]
    infiller = textdiff.load(str(place / "tiny"))
    scores = evaluate(infiller, [place / "text.txt"], ["nelbo"], repeats=2)
    nelbo = cells["tiny/house/nelbo"].figures
    assert [figure.score for figure in nelbo if not figure.axis] == scores
    levels = [figure for figure in nelbo if figure.axis == "mask_share"]
    assert levels and all(0 < (figure.at or 0) <= 1 for figure in levels)
    drawn = cells["tiny/house/infill/confidence,steps=2"]
    assert {figure.way for figure in drawn.figures} == {"joint/true", "joint/2"} and drawn.swept == {"steps": 2}
    assert all("|steps:2|" in figure.score.signature for figure in drawn.figures)
    assert {figure.way for figure in cells["tiny/house/infill"].figures} == {"left_only/true"}
    assert {figure.at for figure in drawn.figures if figure.axis == "words"} == {1, 2}


def test_every_figure_is_whole(made: tuple[Path, Path]) -> None:
    plain = json.loads((made[1] / "report.json").read_text())
    assert plain["schema"] == "textdiff.benchmark/1" and plain["models"][0]["parameters"] > 0
    for cell in plain["cells"]:
        assert cell["command"].startswith("textdiff benchmark ") and cell["figures"]
        for figure in cell["figures"]:
            assert figure["unit"] and figure["n"] > 0
            assert {"model", "tokenizer", "context", "version", "seed"} <= {
                part.split(":")[0] for part in figure["signature"].split("|")
            }
            if figure["standard_error"] is not None:
                degrees = figure["degrees_of_freedom"]
                half = figure["standard_error"] * (1.959964 if degrees is None else student_margin(degrees))
                if figure["unit"].startswith("perplexity"):
                    factor = math.exp(half / figure["value"])
                    assert figure["interval"] == [figure["value"] / factor, figure["value"] * factor]
                else:
                    assert figure["interval"] == [figure["value"] - half, figure["value"] + half]


def test_the_command_under_a_figure_gives_it_again(made: tuple[Path, Path], tmp_path: Path) -> None:
    cell = json.loads((made[1] / "report.json").read_text())["cells"][2]
    words = cell["command"].split()
    ended = run(*words[1:], "--json")
    assert ended.code == 0, ended.err
    again = json.loads(ended.text)
    assert again["figures"] == cell["figures"] and again["id"] == cell["id"]


def test_the_page_in_markdown(made: tuple[Path, Path]) -> None:
    page = (made[1] / "report.md").read_text()
    assert "| joint/true | confidence, steps=2 | 4 |" in page and "bits/byte" in page
    for line in page.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")
    assert page.count("--cell tiny/house/") == 5


def test_a_run_that_was_killed_is_completed_and_nothing_measured_twice(place: Path, tmp_path: Path) -> None:
    source = write_suite(place)
    suite = load_suite(source)
    whole = run_suite(suite, tmp_path / "whole")
    ProbeMetric.measured.clear()
    ProbeMetric.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, tmp_path / "killed")
    assert ProbeMetric.measured == ["confidence,steps=1", "confidence,steps=2"]
    kept = {path: path.read_bytes() for path in (tmp_path / "killed" / "cells").iterdir()}
    assert len(kept) == 2
    ProbeMetric.stop_at = None
    completed = run_suite(suite, tmp_path / "killed")
    assert ProbeMetric.measured == ["confidence,steps=1", "confidence,steps=2", "confidence,steps=3"]
    assert [result.figures for result in completed] == [result.figures for result in whole]
    assert all(path.read_bytes() == data for path, data in kept.items())


def test_a_cell_that_cannot_be_measured_ends_the_run_and_keeps_the_others(place: Path, tmp_path: Path) -> None:
    ProbeMetric.stop_at, ProbeMetric.error = 1, DataError("the text is empty")
    ended = run("benchmark", write_suite(place), "-o", tmp_path / "out")
    assert ended.code == 4 and "tiny/house/probe_of_tests/confidence,steps=2: the text is empty" in ended.err
    assert [path.name for path in (tmp_path / "out" / "cells").iterdir()] == [
        "tiny+house+probe_of_tests+confidence,steps=1.json"
    ]


def test_a_cell_that_is_not_defined_is_told(place: Path, tmp_path: Path) -> None:
    ProbeMetric.stop_at, ProbeMetric.error = 2, UsageError("this model cannot")
    ended = run("benchmark", write_suite(place), "-o", tmp_path / "out")
    assert ended.code == 0 and "3/3 tiny/house/probe_of_tests/confidence,steps=3: this model cannot" in ended.err
    assert read_report(tmp_path / "out").cells[2].skipped == "this model cannot"
    assert "not measured: this model cannot" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 3}, "suite.seed: 0 there, 3 here"),
        ({"samplers": [{"name": "confidence", "steps": 4}]}, "suite.samplers[0].steps: [1, 2, 3] there, 4 here"),
        ({"metrics": ["probe_of_tests", "entropy"]}, "suite.metrics"),
        ({"data": [{"name": "house", "files": "other.txt"}]}, 'data.house.text.txt: "'),
    ],
)
def test_a_folder_of_another_suite_is_refused(place: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    run_suite(load_suite(write_suite(place)), tmp_path / "out")
    (place / "other.txt").write_text("another text")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}
    with pytest.raises(ConfigError) as refused:
        run_suite(load_suite(write_suite(place, "changed.yaml", **changes)), tmp_path / "out")
    assert told in str(refused.value) and "--output" in str(refused.value)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.json")} == before


def test_a_folder_with_other_things_is_left_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    ended = run("benchmark", write_suite(place), "-o", tmp_path)
    assert ended.code == 3 and "no benchmark" in ended.err and [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("score", [(math.nan, 0.1), (2.0, math.inf), (2.0, None), (2.0, 0.5)])
def test_a_figure_is_read_back_as_it_was(score: tuple[float, float | None], tmp_path: Path) -> None:
    figure = Figure(Score("x", score[0], "u", 3, score[1], "s:1"), "g", "w", "words", 2.0)
    write_cell(tmp_path / "a.json", CellResult("a", (figure,), None, {}, 1.0, "cpu"))
    again = read_cell(tmp_path / "a.json", "a")
    assert again is not None and repr(again.figures) == repr((figure,))


def test_a_damaged_cell_is_named(place: Path, tmp_path: Path) -> None:
    suite = load_suite(write_suite(place))
    run_suite(suite, tmp_path / "out")
    cell = next((tmp_path / "out" / "cells").iterdir())
    cell.write_text('{"id": 1}')
    with pytest.raises(DataError, match="is not what `textdiff benchmark` writes there; remove it"):
        run_suite(suite, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"metrics": ["probe_of_test"]}, "Did you mean 'probe_of_tests'?"),
        ({"metrics": []}, "metrics must list at least one"),
        ({"metrics": [{"name": "infill", "kinds": ["wrod"]}]}, "metrics[0]"),
        ({"metrics": [{"name": "infill", "methods": ["masks_in_tur/true"]}]}, "Did you mean 'masks_in_turn'?"),
        ({"metrics": [{"name": "nelbo", "repeats": 0}]}, "metrics[0]: repeats and max_windows must be at least 1"),
        ({"sampler": []}, "sampler: unknown key. Did you mean 'samplers'?"),
        ({"samplers": [{"name": "a", "sampler": "confidense"}]}, "samplers[0]: no sampler is named 'confidense'"),
        ({"samplers": [{"name": "a", "steps": [2, 0]}]}, "samplers[0]: steps must be at least 1"),
        ({"samplers": [{"name": "a", "steps": [2, 2]}]}, "samplers[0]: steps must list different values"),
        ({"samplers": [{"name": "a/b"}]}, "samplers[0].name: expected letters"),
        ({"models": [{"name": "a", "model": "tiny"}] * 2}, "models: the name 'a' stands twice"),
        ({"models": []}, "models must list at least one"),
        ({"data": [{"name": "a"}]}, "data[0].files: this key of DataEntry is required"),
    ],
)
def test_a_wrong_suite_is_told_in_a_sentence(place: Path, changes: dict[str, Any], told: str) -> None:
    source = write_suite(place, "wrong.yaml", **changes)
    with pytest.raises(ConfigError) as refused:
        load_suite(source)
    assert told in str(refused.value) and str(refused.value).startswith(str(source))


def test_a_missing_text_and_a_missing_model_are_told_before_anything_is_measured(place: Path, tmp_path: Path) -> None:
    lost = write_suite(place, "lost.yaml", data=[{"name": "house", "files": "gone.txt"}])
    assert run("benchmark", lost, "-o", tmp_path / "a").code == 4
    lost = write_suite(place, "lost.yaml", models=[{"name": "tiny", "model": "tinny"}])
    assert run("benchmark", lost, "-o", tmp_path / "a").code == 5
    assert not ProbeMetric.measured and not (tmp_path / "a").exists()


def test_a_sampler_may_stand_in_a_file_beside_the_suite(place: Path, tmp_path: Path) -> None:
    (place / "own.yaml").write_text("accept: {name: entropy_bound, gamma: 0.2}\n")
    source = write_suite(place, "file.yaml", samplers=[{"name": "own", "sampler": "own.yaml", "steps": ["auto", 2]}])
    suite = load_suite(source)
    assert [setting.id for setting in suite.settings()] == ["own,steps=auto", "own,steps=2"]
    run_suite(suite, tmp_path / "out")
    (place / "own.yaml").write_text("accept: {name: entropy_bound, gamma: 0.3}\n")
    with pytest.raises(ConfigError, match=r"samplers.own.accept.gamma: 0.2 there, 0.3 here"):
        run_suite(load_suite(source), tmp_path / "out")


def test_cells_are_listed_and_found_by_name(place: Path) -> None:
    source = write_suite(place, metrics=["probe_of_tests", {"name": "probe_of_tests", "number": 2}])
    listed = run("benchmark", source, "--dry-run").text.splitlines()
    assert len(listed) == 6 and listed[3] == "tiny/house/probe_of_tests-2/confidence,steps=1"
    ended = run("benchmark", source, "--cell", "tiny/house/probe_of_tests/confidence,steps=4")
    assert ended.code == 2 and "Did you mean" in ended.err and "--dry-run" in ended.err
