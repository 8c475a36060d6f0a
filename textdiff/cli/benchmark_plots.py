"""What is drawn of a benchmark: quality against network calls, and scores along axes such as the noise level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textdiff.cli.benchmark_tables import axis_name, curves_along, heading
from textdiff.curves import Curve, Panel, Point

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import BenchmarkMetric, Report, ReportCell
    from textdiff.metrics import Score


@dataclass(frozen=True)
class Plot:
    """A picture: its title, the name of its file without an ending, and what is in it."""

    title: str
    name: str
    panels: tuple[Panel, ...]


def plots(report: Report) -> Iterator[Plot]:
    """All pictures of a report."""
    from textdiff.evaluation.benchmark import BenchmarkMetric
    from textdiff.registry import member

    for metric in report.metrics:
        kind = member(BenchmarkMetric, metric["name"])
        cells = [cell for cell in report.cells if cell.metric == metric["as"]]
        if panels := tuple(_by_calls(cells, kind)):
            yield Plot(f"{kind.title} against network calls", f"{metric['as']}-by-calls", panels)
        for axis in dict.fromkeys(figure.axis for cell in cells for figure in cell.figures if figure.axis):
            if panels := tuple(_along(cells, kind, axis)):
                yield Plot(f"{kind.title} by {axis_name(axis)}", f"{metric['as']}-by-{axis}", panels)


def _places(cells: Sequence[ReportCell]) -> Iterator[tuple[str, str, list[ReportCell]]]:
    """Each text with each group of figures: title, group, and the cells of the text."""
    for data in dict.fromkeys(cell.data for cell in cells):
        here = [cell for cell in cells if cell.data == data]
        for group in dict.fromkeys(figure.group for cell in here for figure in cell.figures):
            yield (f"{data}: {group}" if group else data), group, here


def _by_calls(cells: Sequence[ReportCell], kind: type[BenchmarkMetric]) -> Iterator[Panel]:
    """A score over the network calls that it took; the settings of a sampler make a curve."""
    several = len({cell.model for cell in cells}) > 1
    for title, group, here in _places(cells):
        found: dict[str, dict[str, list[Point]]] = {}
        units: dict[str, str] = {}
        for cell in here:
            for way in dict.fromkeys(figure.way for figure in cell.figures):
                scores = {f.score.name: f.score for f in cell.figures if (f.group, f.way, f.axis) == (group, way, "")}
                units |= {name: score.unit for name, score in scores.items()}
                label = ", ".join(filter(None, [cell.model if several else "", way, cell.sampler]))
                for name in kind.by_calls:
                    if kind.calls in scores and name in scores:
                        point = _point(scores[kind.calls].value, scores[name])
                        found.setdefault(name, {}).setdefault(label, []).append(point)
        for name, curves in found.items():
            if drawn := [*_curves(curves)]:  # of a score that is nowhere known there is nothing to draw
                yield Panel(title, units[kind.calls or ""], heading(name, units[name]), tuple(drawn), doublings=True)


def _along(cells: Sequence[ReportCell], kind: type[BenchmarkMetric], axis: str) -> Iterator[Panel]:
    for title, group, here in _places(cells):
        for name in kind.curves:
            curves = curves_along(here, group, axis, name)
            drawn = [*_curves({k: [_point(f.at or 0.0, f.score) for f in curve] for k, curve in curves.items()})]
            if drawn:
                unit = next(iter(curves.values()))[0].score.unit
                yield Panel(title, axis_name(axis), heading(name, unit), tuple(drawn))


def _curves(found: dict[str, list[Point]]) -> Iterator[Curve]:
    for label, points in found.items():
        if kept := sorted(point for point in points if math.isfinite(point.at) and math.isfinite(point.value)):
            yield Curve(label, tuple(kept))


def _point(at: float, score: Score) -> Point:
    half = 0.0 if score.interval is None else (score.interval[1] - score.interval[0]) / 2
    return Point(at, score.value, half)
