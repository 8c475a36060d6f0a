"""The report of `textdiff benchmark` as pages and pictures."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from textdiff.cli.benchmark_files import write_report
from textdiff.cli.benchmark_markdown import markdown, table_lines
from textdiff.cli.benchmark_origins import origins
from textdiff.cli.benchmark_page import page, table_html
from textdiff.cli.benchmark_plots import plots
from textdiff.cli.benchmark_tables import Table, sections, value
from textdiff.curves import Curve, Panel, Point, can_draw, draw_panels
from textdiff.evaluation.benchmark import Figure, Report, ReportCell
from textdiff.metrics import Score

HOSTILE = "</title></code><script>alert(1)</script>|`$x$\n\u202e{{style}}<img src=http://e.x/>"
SIGN = "model:a|data:d|seed:0"


def score(name: str, number: float, unit: str, more: str = "") -> Score:
    return Score(name, number, unit, 10, 0.01, SIGN + more)


def infilled(number: int, steps: int, model: str = "tiny") -> ReportCell:
    """A cell of infilling with so many steps: better and dearer with each of them."""
    figures = []
    for way, bonus in (("joint/true", 0.0), ("joint/auto", 0.5)):
        scores = [
            score("exact_match", (steps + bonus) / 100, "share", f"|method:{way}"),
            score("calls", steps + bonus, "network calls/gap", f"|method:{way}"),
        ]
        figures += [Figure(each, "one word", way) for each in scores]
        figures += [
            Figure(score("exact_match", words / 9, "share"), "one word", way, "words", words) for words in (1, 2)
        ]
    setting = f"confidence,steps={steps}"
    name = f"{model}/house/infill/{setting}"
    command = f"textdiff benchmark s.yaml --cell {name}"
    swept = {"steps": steps}
    place = (name, model, "house", "infill", "infill", setting, "confidence", swept)
    return ReportCell(*place, tuple(figures), None, 1.5, "cpu", command)


def nelbo(model: str = "tiny") -> ReportCell:
    figures = [Figure(score("nelbo", 4.0, "nats/token"))]
    figures += [Figure(score("cross_entropy", at, "nats/token"), axis="mask_share", at=at) for at in (0.25, 0.75)]
    name = f"{model}/house/nelbo"
    return ReportCell(
        name, model, "house", "nelbo", "nelbo", "", "", {}, tuple(figures), None, 2.0, "cpu", f"run {name}"
    )


def report(text: str = "A title") -> Report:
    model = {
        "name": "tiny",
        "model": text,
        "note": text,
        "process": "absorbing",
        "weights": "ab",
        "parameters": 9,
        "context": 64,
    }
    data = {"name": "house", "files": [text], "note": text, "bytes": 10, "sha256": ["0" * 64]}
    sampler = {"name": "confidence", "sampler": text, "steps": [1, 4], "temperature": 0.0, "top_k": None}
    metrics = ({"as": "nelbo", "name": "nelbo"}, {"as": "infill", "name": "infill"})
    skipped = ReportCell("s", "tiny", "house", "nelbo", "nelbo", "", "", {}, (), text, 0.0, "cpu", text)
    cells = (nelbo(), infilled(1, 1), infilled(2, 4), skipped)
    return Report(text, text, "1", 0, text, (model,), (data,), (sampler,), metrics, cells)


class Reader(HTMLParser):
    """All tags with their attributes; they must close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader.seen


def test_hostile_text_changes_nothing_of_the_page_but_text() -> None:
    plain, hostile = (page(report(text), [("Likelihood", b"png")]) for text in ("plain", HOSTILE))
    assert [tag for tag, _ in tags(plain)] == [tag for tag, _ in tags(hostile)]
    assert not {tag for tag, _ in tags(hostile)} & {"script", "link", "iframe", "object"}
    assert "\u202e" not in hostile and hostile.count("{{style}}") >= 5
    for tag, attributes in tags(hostile):
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/png;base64,")
        if tag == "a":
            assert str(attributes["href"]).startswith("#cell-")
    policy = next(a["content"] for tag, a in tags(hostile) if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in str(policy) and "img-src data:" in str(policy) and "script-src" not in str(policy)


def test_every_cell_of_a_table_is_text() -> None:
    names = [tag for tag, _ in tags(table_html(Table("a", 1, ["a", "cell"], [["a", "a"]]), linked=True))]
    hostile = Table(HOSTILE, 1, [HOSTILE, "cell"], [[HOSTILE, HOSTILE]])
    assert [tag for tag, _ in tags(table_html(hostile, linked=True))] == names
    for line in table_lines(hostile):
        assert len(re.split(r"(?<!\\)\|", line)) == 4 and not re.search(r"(?<!\\)<", line)


def test_links_lead_to_the_origin_of_a_row() -> None:
    found = tags(page(report()))
    targets = {attributes.get("id") for _, attributes in found}
    links = [attributes["href"] for tag, attributes in found if tag == "a"]
    assert (
        links == ["#cell-1", "#cell-2", "#cell-2", "#cell-3", "#cell-3"]
        and {str(link)[1:] for link in links} <= targets
    )


def test_hostile_text_in_markdown_is_text() -> None:
    shown = markdown(report(HOSTILE), [("Likelihood", "plots/a.png")])
    tables = [line for line in shown.splitlines() if line.startswith("|")]
    cells = [len(re.split(r"(?<!\\)\|", line)) for line in tables]
    plain = [line for line in markdown(report("x"), [("a", "b")]).splitlines() if line.startswith("|")]
    assert cells == [len(line.split("|")) for line in plain]
    outside = re.sub(r"(?<!\\)`[^`]*`", "", shown)
    assert not re.search(r"(?<!\\)<", outside) and "\u202e" not in shown
    assert len(shown.splitlines()) == len(markdown(report("x"), [("a", "b")]).splitlines())


def test_the_tables() -> None:
    shown = markdown(report())
    assert "| confidence | A title | steps 1, 4; temperature 0.0 |" in shown
    likelihood, infilling = sections(report())
    assert likelihood.title == "Likelihood" and likelihood.tables[0].rows == [["tiny", "1", "4.000 ± 0.020"]]
    assert likelihood.tables[1].rows == [["0.25", "0.250 ± 0.020"], ["0.75", "0.750 ± 0.020"]]
    main, by_words = infilling.tables
    assert main.title == "house: one word"
    assert main.header == ["method", "sampler", "cell", "exact match (share)", "network calls/gap"]
    assert main.rows[3] == ["joint/auto", "confidence, steps=4", "3", "0.045 ± 0.020", "4.500 ± 0.020"]
    assert by_words.header == ["number of words", "joint/true, confidence, steps=4", "joint/auto, confidence, steps=4"]


@pytest.mark.parametrize(
    ("number", "error", "shown"),
    [
        (0.14, 0.012, "0.140 ± 0.024"),
        (4.0, None, "4"),
        (0.0, 0.0, "0 (n = 10)"),
        (math.nan, 0.1, "unknown"),
        (5.0, math.inf, "5 ± unknown"),
        (3e9, 1e8, "3.00e+09 ± 2e+08"),
        (120.0, 30.0, "120 ± 59"),
    ],
)
def test_a_value_and_half_of_its_interval(number: float, error: float | None, shown: str) -> None:
    assert value(Score("x", number, "u", 10, error, "")) == shown


def test_signatures_are_told_once_where_they_are_shared() -> None:
    """Put together again they are the signatures of all figures."""
    found = list(origins(report()))
    assert [origin.number for origin in found] == [1, 2, 3, 4] and found[3].skipped == "A title"
    assert found[1].signature == SIGN and found[1].cost == "1.5 s on cpu"
    assert found[1].details == [
        ("one word, joint/true", "method:joint/true"),
        ("one word, joint/auto", "method:joint/auto"),
    ]


def test_what_is_drawn() -> None:
    drawn = {plot.name: plot for plot in plots(report())}
    assert [*drawn] == ["nelbo-by-mask_share", "infill-by-calls", "infill-by-words"]
    (calls,) = drawn["infill-by-calls"].panels
    assert calls.x == "network calls/gap" and calls.y == "exact match (share)" and calls.doublings
    half = pytest.approx(1.959964 * 0.01)
    assert calls.curves == (
        Curve("joint/true, confidence", (Point(1, 0.01, half), Point(4, 0.04, half))),
        Curve("joint/auto, confidence", (Point(1.5, 0.015, half), Point(4.5, 0.045, half))),
    )
    (levels,) = drawn["nelbo-by-mask_share"].panels
    assert levels.curves == (Curve("tiny", (Point(0.25, 0.25, half), Point(0.75, 0.75, half))),)
    (words,) = drawn["infill-by-words"].panels
    assert [curve.label for curve in words.curves] == [f"joint/{k}, confidence, steps=4" for k in ("true", "auto")]


def test_several_models_have_rows_and_curves_of_their_own() -> None:
    both = replace(
        report(), models=report().models * 2, cells=(nelbo(), nelbo("other"), infilled(1, 1), infilled(2, 1, "other"))
    )
    rows = sections(both)[1].tables[0].rows
    assert [row[:2] for row in rows] == [[name, f"joint/{k}"] for name in ("tiny", "other") for k in ("true", "auto")]
    drawn = {plot.name: plot for plot in plots(both)}
    assert [curve.label for curve in drawn["nelbo-by-mask_share"].panels[0].curves] == ["tiny", "other"]
    assert {curve.label.split(",")[0] for curve in drawn["infill-by-calls"].panels[0].curves} == {"tiny", "other"}


@pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
def test_panels_are_drawn_to_scale() -> None:
    curves = (Curve("a$b$", (Point(1, 0.0, 0.1), Point(8, 0.5, 0.1))), Curve("c", (Point(2, 0.2, 0.0),)))
    figure = draw_panels([Panel("t", "x", "y", curves, doublings=True), Panel("u", "x", "y", curves[:1])])
    first, second = figure.axes
    assert first.get_ylim()[0] == 0 and [tick.get_text() for tick in first.get_xticklabels()] == ["1", "2", "4", "8"]
    assert [line.get_color() for line in first.lines[:1]] == [line.get_color() for line in second.lines[:1]]
    assert next(list(line.get_xdata()) for line in first.lines if len(line.get_xdata()) > 1) == [1, 8]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [r"a\$b\$", "c"]


@pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
def test_the_files(tmp_path: Path) -> None:
    written = write_report(report(), tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in written]
    assert names[:3] == ["report.json", "report.md", "report.html"] and "plots/infill-by-calls.png" in names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[3:])
    shown = (tmp_path / "report.md").read_text()
    for name in names[3:]:
        assert f"]({name})" in shown
    assert (tmp_path / "report.html").read_text().count("data:image/png;base64,") == 3


def test_without_matplotlib_the_report_has_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("textdiff.curves.can_draw", lambda: False)
    written = write_report(report(), tmp_path)
    assert [path.name for path in written] == ["report.json", "report.md", "report.html"]
    assert "pip install matplotlib" in capsys.readouterr().err
    assert "<img" not in (tmp_path / "report.html").read_text()
