"""A benchmark's report as tables: cells of text, which Markdown and HTML both show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import BenchmarkMetric, Figure, Report, ReportCell
    from textdiff.metrics import Score

_HUGE = 1e6


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what it is of; "" where the section says it.
        labels: how many columns name a row; the others are numbers.
        header, rows: the cells.
    """

    title: str
    labels: int
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """All tables of a metric, and what a reader of them should know."""

    title: str
    explained: str
    tables: list[Table]


def sections(report: Report) -> list[Section]:
    """The figures of each metric, in the order of the suite."""
    from textdiff.evaluation.benchmark import BenchmarkMetric
    from textdiff.registry import member

    found = []
    for metric in report.metrics:
        kind = member(BenchmarkMetric, metric["name"])
        cells = [cell for cell in report.cells if cell.metric == metric["as"]]
        number = metric["as"].removeprefix(metric["name"]).removeprefix("-")
        title = kind.title + (f" ({number})" if number else "")
        found.append(Section(title, kind.explained, [*_tables(report, cells, kind)]))
    return found


def _tables(report: Report, cells: Sequence[ReportCell], kind: type[BenchmarkMetric]) -> Iterator[Table]:
    for data in dict.fromkeys(cell.data for cell in cells):
        here = [cell for cell in cells if cell.data == data]
        groups = dict.fromkeys(figure.group for cell in here for figure in cell.figures)
        for group in groups:
            yield _main_table(report, here, kind, f"{data}: {group}" if group else data, group)
            yield from _curve_tables(here, kind, data, group)


def _main_table(
    report: Report, cells: Sequence[ReportCell], kind: type[BenchmarkMetric], title: str, group: str
) -> Table:
    """A row for each model, sampler and way; a column for each score."""
    rows: dict[tuple[str, str, str, str], dict[str, Score]] = {}
    for cell in cells:
        for figure in cell.figures:
            if figure.group == group and not figure.axis:
                key = (cell.model, figure.way, setting_name(cell), str(number_of(report, cell)))
                rows.setdefault(key, {})[figure.score.name] = figure.score
    present = dict.fromkeys(score.name for row in rows.values() for score in row.values())
    names = [name for name in (kind.columns or present) if name in present]
    units = {score.name: score.unit for row in rows.values() for score in row.values()}
    kept = [i for i in range(len(_LABELS)) if _tells(i, [*rows], len(report.models))]
    header = [_LABELS[i] for i in kept] + [heading(name, units[name]) for name in names]
    body = [[key[i] for i in kept] + [value(row.get(name)) for name in names] for key, row in rows.items()]
    return Table(title, len(kept), header, body)


def _tells(label: int, rows: Sequence[tuple[str, ...]], models: int) -> bool:
    """Whether a column of labels says anything: that of a single model does not where others tell the rows apart."""
    if label == 0:
        return models > 1 or not any(row[1] or row[2] for row in rows)
    return any(row[label] for row in rows)


_LABELS = ("model", "method", "sampler", "cell")


def _curve_tables(cells: Sequence[ReportCell], kind: type[BenchmarkMetric], data: str, group: str) -> Iterator[Table]:
    """A table for each score that has values along an axis: a row for each place, a column for each curve."""
    for axis, name in axes_of(cells, group):
        curves = curves_along(cells, group, axis, name)
        places = sorted({round(figure.at or 0.0, 2) for curve in curves.values() for figure in curve})
        header = [axis_name(axis), *curves]
        unit = next(iter(curves.values()))[0].score.unit
        rows = []
        for place in places:
            at = [[f.score for f in curve if round(f.at or 0.0, 2) == place] for curve in curves.values()]
            rows.append([f"{place:g}", *(value(found[0] if found else None) for found in at)])
        of = f"{data}: {group}" if group else data
        yield Table(f"{of}: {heading(name, unit)} by {axis_name(axis)}", 1, header, rows)


def axis_name(axis: str) -> str:
    """What an axis is called."""
    return _AXES.get(axis, axis.replace("_", " "))


_AXES = {
    "mask_share": "share of masked tokens",
    "noise_share": "1 - alpha (0: text, 1: noise)",
    "time": "time t (0: text, 1: noise)",
    "words": "number of words",
}


def axes_of(cells: Sequence[ReportCell], group: str) -> list[tuple[str, str]]:
    """Axes, and the scores that have values along them."""
    figures = [figure for cell in cells for figure in cell.figures if figure.group == group and figure.axis]
    return [*dict.fromkeys((figure.axis, figure.score.name) for figure in figures)]


def curves_along(cells: Sequence[ReportCell], group: str, axis: str, name: str) -> dict[str, list[Figure]]:
    """The figures of a score along an axis, by model, way and sampler; of a sweep only its last setting."""
    last = {(cell.model, cell.sampler): cell.id for cell in cells if cell.figures}
    several = len({cell.model for cell in cells}) > 1
    found: dict[str, list[Figure]] = {}
    for cell in cells:
        if last.get((cell.model, cell.sampler)) != cell.id:
            continue
        for figure in cell.figures:
            if (figure.group, figure.axis, figure.score.name) == (group, axis, name):
                parts = [cell.model if several or not figure.way else "", figure.way, setting_name(cell)]
                found.setdefault(", ".join(filter(None, parts)), []).append(figure)
    return {label: sorted(curve, key=lambda figure: figure.at or 0.0) for label, curve in found.items()}


def setting_name(cell: ReportCell) -> str:
    """The sampler of a cell, and the options that vary."""
    return cell.setting.replace(",", ", ")


def number_of(report: Report, cell: ReportCell) -> int:
    """The number of a cell in a report, from 1."""
    return report.cells.index(cell) + 1


def heading(name: str, unit: str) -> str:
    """What a score is called in a heading, with its unit."""
    if name in _SAID_BY_UNIT:
        return unit
    return f"{_HEADINGS.get(name, name.replace('_', ' '))} ({unit})"


_SAID_BY_UNIT = {
    "generative_perplexity",
    "bits_per_byte",
    "perplexity_per_token",
    "perplexity_per_word",
    "calls",
    "network_calls",
}
_HEADINGS = {
    "nelbo": "NELBO",
    "exact_nll": "exact NLL",
    "chrf": "chrF",
    "bleu": "BLEU",
    "mauve": "MAUVE",
    "self_bleu": "self-BLEU",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "distinct_3": "distinct-3",
    "fill_nelbo": "NELBO of the fills",
}


def value(score: Score | None) -> str:
    """A value, and half of its 95 % interval, with as many decimals as that gives sense to.

    Where all that was counted was alike, as with no hit in 20, the spread says nothing of the error, and n stands instead.
    """
    if score is None:
        return ""
    if not math.isfinite(score.value):
        return "unknown"
    if score.interval is None:
        return f"{score.value:.4g}" + ("" if score.standard_error is None else " ± unknown")
    half = (score.interval[1] - score.interval[0]) / 2
    if abs(score.value) >= _HUGE:
        return f"{score.value:.2e} ± {half:.0e}"
    if half == 0:
        return f"{score.value:.4g} (n = {score.n:,})"
    decimals = min(max(0, 1 - math.floor(math.log10(half))), 4)
    return f"{score.value:.{decimals}f} ± {half:.{decimals}f}"
