"""Learning curves and curves by noise level: what is read, what is drawn, and that they never end a run."""

from __future__ import annotations

import json
import math
import re
import struct
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from test_cli_train import RECIPE
from tiny import TEXT, Ended, run

from textdiff.curves import (
    CurveKeeper,
    NoiseCurve,
    NoisePoint,
    Scored,
    can_draw,
    differences,
    open_runs,
    read_history,
    read_noise,
    write_noise,
)
from textdiff.curves.series import Line, running_mean, thinned
from textdiff.errors import DataError

needs_matplotlib = pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")


def write_log(folder: Path, *records: dict[str, Any], torn: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + torn)
    return folder


def start(step: int) -> dict[str, Any]:
    return {"event": "start", "step": step}


def step(number: int, loss: float = 2.0) -> dict[str, Any]:
    return {"event": "step", "step": number, "loss": loss, "nelbo": loss + 0.5, "learning_rate": 1e-3}


def scored(event: str, number: int, nelbo: float, error: float | None = 0.1) -> dict[str, Any]:
    return {"event": event, "step": number, "nelbo": nelbo, "standard_error": error}


def curve(value: float = 1.0) -> NoiseCurve:
    points = (NoisePoint(0.0, 0.5, 0.3, value, 0.1, 4, 8), NoisePoint(0.5, 1.0, 0.8, 2 * value, math.inf, 1, 1))
    return NoiseCurve("mask_share", "cross_entropy", "a:1|b:2", points)


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height, from the header of a PNG."""
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def texts_in(picture: Path) -> str:
    """All that is written in an SVG whose text is kept as text."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf8")))


def test_what_was_done_again_counts_once(tmp_path: Path) -> None:
    """A stop after step 4, and a continuation from the state of step 2."""
    first = [
        start(0),
        *(step(n, 9.0) for n in (1, 2, 3, 4)),
        scored("evaluation", 2, 8.0),
        scored("evaluation", 4, 7.0),
    ]
    skipped = {"event": "skipped", "step": 4, "samples": [0, 1]}
    rest = [start(2), step(3, 5.0), step(4, 4.0), scored("evaluation", 4, 3.0), scored("final", 4, 2.9, 0.02)]
    found = read_history(
        write_log(tmp_path, *first, skipped, *rest, scored("final", 4, 2.8, 0.01), torn='{"event": "st')
    )
    assert [(entry.step, entry.loss) for entry in found.trained] == [(1, 9.0), (2, 9.0), (3, 5.0), (4, 4.0)]
    assert found.evaluations == [Scored(2, 8.0, 0.1), Scored(4, 3.0, 0.1)]
    assert (found.finals, found.skipped, found.last_step) == ([Scored(4, 2.8, 0.01)], [], 4)


def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    odd = [{"event": "step"}, {"step": "x"}, {"event": "step", "step": 2, "loss": "much"}, {"event": 5, "step": 3}]
    found = read_history(write_log(tmp_path, *odd, step(1), torn="[1]\nNaN\n" + "[" * 100_000))
    assert [entry.step for entry in found.trained] == [1, 2]
    assert math.isnan(found.trained[1].loss)
    (tmp_path / "log.jsonl").write_text('{"event": "step", "step": 1, "loss": NaN, "nelbo": Infinity}\n')
    assert math.isinf(read_history(tmp_path).trained[0].nelbo)


ODD_LOGS = {
    "empty": "",
    "no step": json.dumps(start(0)) + "\n",
    "cut": json.dumps(step(1))[:20],
    "NUL": "\0" * 100,
    "deep": "[" * 100_000,
    "no whole step": json.dumps(step(1) | {"step": 1.5}),
    "endless step": json.dumps(step(10**400)),
    "step below 0": json.dumps(step(-5)),
}


@pytest.mark.parametrize("log", ODD_LOGS.values(), ids=ODD_LOGS)
def test_a_log_without_a_step_is_said(tmp_path: Path, log: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text(log)
    ended = run("curves", tmp_path / "run", "--output", tmp_path / "picture.png")
    assert ended == Ended(4, b"", f"textdiff: error: {tmp_path / 'run' / 'log.jsonl'} has no step in it yet\n")
    assert not (tmp_path / "picture.png").exists()


@needs_matplotlib
@pytest.mark.parametrize(
    "records",
    [
        [step(1)],
        [scored("evaluation", 1, 2.5)],
        [scored("final", 1, 2.5, None)],
        [step(1, math.nan)],
        [step(1, math.inf), step(2)],
        [step(1, 1e308), step(2, -1e308)],
        [step(1) | {"loss": 10**400}, step(2)],
        [scored("final", 1, 2.5, -1.0)],
        [step(1), {"event": "skipped", "step": 10**400}],
    ],
    ids=["one", "evaluation", "final", "nan", "inf", "huge", "endless", "error below 0", "endless skip"],
)
def test_odd_figures_are_drawn_as_far_as_they_can_be(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    """The last line is cut off, as of a run that still goes on or whose machine went down."""
    folder = write_log(tmp_path / "a$\\no$b", *records, torn='{"event": "st')
    ended = run("curves", folder, "--output", tmp_path / "picture.svg")
    assert (ended.code, ended.err) == (0, "")
    assert "a$" in (tmp_path / "picture.svg").read_text() and (tmp_path / "picture.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "change",
    [{"value": "x"}, {"value": None}, {"level": 10**400}, {"value": math.nan}, {"standard_error": "x"}, {"low": []}],
    ids=str,
)
def test_an_odd_noise_curve_is_said(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_log(tmp_path / "run", step(1))
    write_noise(folder / "curves" / "noise.jsonl", curve())
    lines = (folder / "curves" / "noise.jsonl").read_text().splitlines()
    (folder / "curves" / "noise.jsonl").write_text(lines[0] + "\n" + json.dumps(json.loads(lines[1]) | change))
    ended = run("curves", folder, "--output", tmp_path / "picture.png")
    place = folder / "curves" / "noise.jsonl"
    said = f"textdiff: error: {place} is not what `textdiff train` writes there; remove it\n"
    assert ended == Ended(4, b"", said)


def test_a_folder_without_a_log_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no log\.jsonl; give the folder of a run"):
        read_history(tmp_path)
    with pytest.raises(DataError, match="has no step in it yet"):
        read_history(write_log(tmp_path, start(0)))


def test_a_noise_curve_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "curves" / "noise.jsonl"
    write_noise(path, curve())
    found = read_noise(tmp_path)
    assert found is not None
    assert (found.axis, found.quantity, found.signature) == ("mask_share", "cross_entropy", "a:1|b:2")
    assert [(p.level, p.value, p.standard_error) for p in found.points] == [(0.3, 1.0, 0.1), (0.8, 2.0, None)]
    assert all(json.loads(line)["unit"] == "nats/token" for line in path.read_text().splitlines())
    assert read_noise(tmp_path / "curves") is None
    for wrong in ("{", "[]", '{"axis": 1}', "5"):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"noise\.jsonl is not what"):
            read_noise(tmp_path)


def test_a_running_mean_is_the_mean_of_what_is_near() -> None:
    values = [float(i % 7) for i in range(200)]
    mean, span = running_mean(Line([*range(200)], values))
    assert span == 11
    assert mean.values[50] == pytest.approx(sum(values[45:56]) / 11)
    assert mean.values[0] == pytest.approx(sum(values[:6]) / 6)
    with_gaps, _ = running_mean(Line([1, 2, 3], [1.0, math.nan, 3.0]))
    assert with_gaps == Line([1, 3], [1.0, 3.0])
    assert running_mean(Line([], [])) == (Line([], []), 1)


def test_a_long_line_is_thinned_to_its_ends() -> None:
    line = Line([*range(100_001)], [0.0] * 100_001)
    steps, values = thinned(line)
    assert (len(steps), len(values), steps[0], steps[-1]) == (2000, 2000, 0, 100_000)
    assert thinned(Line([1], [2.0])) == Line([1], [2.0])


def test_runs_have_short_names_that_tell_them_apart(tmp_path: Path) -> None:
    folders = [write_log(tmp_path / name, step(1)) for name in ("a/one", "b/one", "b/two")]
    assert [run.name for run in open_runs(folders)] == ["a/one", "b/one", "b/two"]
    assert [run.name for run in open_runs(folders[1:])] == ["one", "two"]
    assert [run.name for run in open_runs([folders[0], folders[0]])] == ["one", "one"]


def test_runs_that_are_no_ranking_are_told(tmp_path: Path) -> None:
    folders = [write_log(tmp_path / name, step(1)) for name in "abc"]
    (folders[0] / "recipe.yaml").write_text("process: absorbing\nseed: 1\n")
    (folders[1] / "recipe.yaml").write_text("process: uniform\nseed: 2\ncontext_length: 8\n")
    (folders[2] / "recipe.yaml").write_text("not: [whole")
    assert differences(open_runs(folders)) == ["process", "context length"]
    assert differences(open_runs([folders[0], folders[2]])) == []
    (folders[0] / "recipe.yaml").write_text("data: {train: a, validation: v}\n")
    (folders[1] / "recipe.yaml").write_text("data: {train: b, validation: v}\n")
    (folders[2] / "recipe.yaml").write_text("data: {train: a}\n")
    assert differences(open_runs(folders[:2])) == []
    assert differences(open_runs(folders)) == ["held-out text"]


@needs_matplotlib
def test_one_run_is_drawn_with_all_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    folder = write_log(
        tmp_path / "mine",
        *(step(n, 9 / n) for n in range(1, 60)),
        {"event": "skipped", "step": 30},
        scored("evaluation", 20, 3.0),
        scored("evaluation", 40, 2.5, None),
        scored("final", 60, 2.345, 0.012),
    )
    write_noise(folder / "curves" / "noise.jsonl", curve())
    ended = run("curves", folder, "--output", tmp_path / "one.svg")
    assert (ended.code, ended.out, ended.err) == (0, f"{tmp_path / 'one.svg'}\n".encode(), "")
    shown = texts_in(tmp_path / "one.svg")
    for words in (
        "mine", "nats per token", "optimizer steps", "learning rate", "training loss, mean of 3 logged steps",
        "training NELBO", "held-out NELBO, ± 1 standard error", "at the end: 2.345 ± 0.012", "skipped steps",
        "share of masked tokens", "cross-entropy of a masked token (nats)",
    ):  # fmt: skip
        assert words in shown, words


@needs_matplotlib
def test_several_runs_are_compared_in_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    folders = [write_log(tmp_path / f"run{n}", *(step(k, 3.0) for k in (1, 2))) for n in range(9)]
    write_log(folders[0], step(1), scored("evaluation", 1, 2.5, 0.25), scored("final", 2, 2.0, 0.02))
    (folders[0] / "recipe.yaml").write_text("process: absorbing\n")
    (folders[1] / "recipe.yaml").write_text("process: uniform\n")
    write_noise(folders[1] / "curves" / "noise.jsonl", NoiseCurve("time", "nelbo_integrand", "s", curve().points))
    write_noise(folders[0] / "curves" / "noise.jsonl", curve())
    ended = run("curves", *folders, "-o", tmp_path / "all.svg")
    assert (ended.code, "these runs differ in process: their nats per token are no ranking" in ended.err) == (0, True)
    shown = texts_in(tmp_path / "all.svg")
    assert all(f"run{n}" in shown for n in range(9))
    for words in ("run0: 2.000 ± 0.020", "These runs differ in process", "time t", "integrand of the NELBO"):
        assert words in shown, words
    picture = tmp_path / "all.PNG"
    assert run("curves", *folders[:2], "-o", picture).code == 0
    assert size_of(picture) == (1820, 845)
    # what is there is replaced, and nothing else is left
    assert run("curves", folders[0], "-o", picture).code == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["all.PNG", "all.svg"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], 2, "Missing option '--output'"),
        (["--output", "x.png"], 2, "Missing argument"),
        (["run", "-o", "x.gif"], 2, "--output is x.gif, and its name must end in .png, .svg or .pdf"),
        (["run", "-o", "x"], 2, "must end in"),
        (["nowhere", "-o", "x.png"], 4, "nowhere holds no log.jsonl; give the folder of a run"),
        (["run/log.jsonl", "-o", "x.png"], 4, "run/log.jsonl/log.jsonl cannot be read: not a directory"),
        (["run", "-o", "run/log.jsonl/x.png"], 4, "cannot be written"),
    ],
)
def test_wrong_use_of_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "run", step(1))
    if "x.png" in words[-1] and not can_draw() and code == 4 and "written" in said:
        pytest.skip("matplotlib is not installed")
    ended = run("curves", *words)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (code, b"", 1)
    assert said in ended.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["log.jsonl", "run"]


def train(folder: Path, *settings: str) -> Ended:
    (folder / "text.txt").write_text(TEXT)
    (folder / "recipe.yaml").write_text(RECIPE)
    sets = ["training.logging_steps=1", *settings]
    return run("train", folder / "recipe.yaml", "--output", folder / "run", "--set", *sets)


@needs_matplotlib
@pytest.mark.parametrize(
    ("process", "axis", "quantity"),
    [("absorbing", "mask_share", "cross_entropy"), ("uniform", "noise_share", "nelbo_integrand")],
)
def test_a_run_leaves_its_curves(tmp_path: Path, process: str, axis: str, quantity: str) -> None:
    assert train(tmp_path, f"process={process}").code == 0
    output = tmp_path / "run"
    names = ["learning.png", "noise.jsonl", "noise.png"]
    assert sorted(path.name for path in (output / "curves").iterdir()) == names
    assert min(*size_of(output / "curves" / "learning.png"), *size_of(output / "curves" / "noise.png")) > 500
    found = read_noise(output)
    assert found is not None and (found.axis, found.quantity) == (axis, quantity)
    history = read_history(output)
    scores = {s["name"]: s for s in json.loads((output / "model" / "metrics.json").read_text())["scores"]}
    nelbo = scores["nelbo"]
    assert history.finals == [Scored(4, nelbo["value"], nelbo["standard_error"])]
    assert found.signature == nelbo["signature"]
    widths = [point.high - point.low for point in found.points]  # 16 shares of masks leave some of 20 parts empty
    area = sum(point.value * width for point, width in zip(found.points, widths, strict=True)) / sum(widths)
    # of a fresh network: uniform noise has a few costly tokens near t = 0, so its bound is known less well
    assert area == pytest.approx(nelbo["value"], rel=0.02 if process == "absorbing" else 0.15)


def test_without_matplotlib_the_numbers_are_written_and_a_hint_is_given(tmp_path: Path) -> None:
    with patch.dict(sys.modules, {"matplotlib": None}), patch("textdiff.curves.pictures.can_draw", lambda: False):
        with patch("textdiff.curves.keeping.can_draw", lambda: False):
            ended = train(tmp_path)
        drawn = run("curves", tmp_path / "run", "-o", tmp_path / "x.png")
    assert ended.code == 0
    assert ended.err.count("no curves were drawn: pictures need matplotlib: pip install matplotlib\n") == 1
    assert [path.name for path in (tmp_path / "run" / "curves").iterdir()] == ["noise.jsonl"]
    assert (drawn.code, drawn.err) == (3, "textdiff: error: pictures need matplotlib: pip install matplotlib\n")


@pytest.mark.parametrize("blocked", ["curves", "curves/noise.jsonl"])
def test_curves_that_cannot_be_written_cost_no_run(tmp_path: Path, blocked: str) -> None:
    """A file where a folder belongs, and a folder where a file does."""
    place = tmp_path / "run" / blocked
    place.parent.mkdir(parents=True)
    place.write_text("in the way") if blocked == "curves" else place.mkdir()
    ended = train(tmp_path)
    assert (ended.code, ended.out) == (0, f"{tmp_path / 'run' / 'model'}\n".encode())
    assert "are not up to date" in ended.err and "Traceback" not in ended.err
    assert len(set(ended.err.splitlines())) == len(ended.err.splitlines()) or "" in ended.err.splitlines()


@needs_matplotlib
def test_drawing_takes_a_small_share_of_a_run(tmp_path: Path) -> None:
    """A clock that a drawing moves by 3 seconds: at most 1 % of the time, and at the end in any case."""
    now = [0.0]
    folder, drawn = write_log(tmp_path, step(1)), []

    def save(figure: object, path: Path) -> None:
        now[0] += 3.0
        drawn.append(now[0])

    keeper = CurveKeeper(folder, pytest.fail, clock=lambda: now[0])
    with patch("textdiff.curves.keeping.save_picture", save):
        for _ in range(1000):
            now[0] += 10.0
            keeper.evaluated()
        assert 20 < len(drawn) <= 0.01 * now[0] / 3.0
        keeper.finished(None)
    assert drawn[-1] == now[0]


@needs_matplotlib
def test_a_picture_that_fails_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = CurveKeeper(write_log(tmp_path, step(1)), said.append, clock=lambda: 1e9 * len(said))
    with patch("textdiff.curves.keeping.draw_runs", side_effect=MemoryError("none\nleft")):
        keeper.finished(None)
        keeper.finished(None)
    assert said == [f"the curves in {tmp_path / 'curves'} are not up to date: none left"]
