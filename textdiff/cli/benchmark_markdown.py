"""A benchmark's report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textdiff.cli.benchmark_origins import origins
from textdiff.cli.benchmark_tables import Table, sections
from textdiff.cli.visible import visible

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Report

INTERVALS = (
    "A value ± half of its 95 % confidence interval: 1.96 standard errors (of perplexities, of their logarithm), over windows "
    "of text for likelihoods, over documents for infilling, over texts for generation. Values without ± are exact; where n "
    "stands instead, all n were alike, and their spread tells nothing of the error. All figures, with unit, interval and whole "
    "signature, are in report.json."
)
_ACTIVE = re.compile(r"([\\`*_\[\]<>|#~&!])")


def markdown(report: Report, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """The report.

    Args:
        report: what was measured.
        pictures: titles and file names.
    """
    return "\n".join(_lines(report, pictures)) + "\n"


def _lines(report: Report, pictures: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"# {literal(report.title)}\n"
    if report.description:
        yield f"{literal(report.description)}\n"
    yield f"Made by textdiff {report.version}, seed {report.seed}, with `{code(report.command)}`.\n"
    yield f"{INTERVALS}\n"
    yield from _inputs(report)
    for section in sections(report):
        yield f"## {literal(section.title)}\n"
        yield f"{literal(section.explained)}\n"
        for table in section.tables:
            yield f"### {literal(table.title)}\n"
            yield from table_lines(table)
            yield ""
    for title, name in pictures:
        yield f"## {literal(title)}\n"
        yield f"![{literal(title)}]({name})\n"
    yield from _origins(report)


def inputs(report: Report) -> list[Table]:
    """What was measured: the models, the texts and the samplers."""
    models = [
        [row["name"], row["model"], row["process"], f"{row['parameters']:,}", f"{row['context']:,}", row["weights"]]
        for row in report.models
    ]
    data = [
        [row["name"], ", ".join(row["files"]), f"{row['bytes']:,}", ", ".join(digest[:12] for digest in row["sha256"])]
        for row in report.data
    ]
    return [
        _noted("Models", ["model", "from", "noise", "parameters", "context", "weights"], models, report.models),
        _noted("Texts", ["text", "files", "bytes", "sha256"], data, report.data),
        Table("Samplers", 3, ["name", "sampler", "options"], [*map(_sampler, report.samplers)]),
    ]


def _sampler(entry: dict[str, Any]) -> list[str]:
    """Name, sampler, and what is asked of it; a list is swept over."""
    asked = {key: value for key, value in entry.items() if key not in ("name", "sampler") and value is not None}
    options = [
        f"{key} {', '.join(map(str, value if isinstance(value, list) else [value]))}" for key, value in asked.items()
    ]
    return [entry["name"], entry["sampler"] or "the model's own", "; ".join(options)]


def _noted(title: str, header: list[str], rows: list[list[str]], entries: Sequence[dict[str, Any]]) -> Table:
    """With a column of notes, if there are any."""
    if any(entry["note"] for entry in entries):
        header = [*header, "note"]
        rows = [[*row, entry["note"]] for row, entry in zip(rows, entries, strict=True)]
    return Table(title, len(header), header, rows)


def _inputs(report: Report) -> Iterator[str]:
    for table in inputs(report):
        yield f"## {table.title}\n"
        yield from table_lines(table)
        yield ""


def table_lines(table: Table) -> Iterator[str]:
    """The lines of a table."""
    marks = ["---"] * table.labels + ["---:"] * (len(table.header) - table.labels)
    for row in (list(map(literal, table.header)), marks, *(list(map(literal, row)) for row in table.rows)):
        yield f"| {' | '.join(row)} |"


def _origins(report: Report) -> Iterator[str]:
    yield "## Where the figures come from\n"
    yield "The command measures a cell again. Parts of a signature that all figures of a cell share stand first.\n"
    for origin in origins(report):
        yield f"{origin.number}. {literal(origin.id)}, {origin.cost}"
        yield f"   - `{code(origin.command)}`"
        if origin.skipped is not None:
            yield f"   - not measured: {literal(origin.skipped)}"
        if origin.signature:
            yield f"   - `{code(origin.signature)}`"
        for place, parts in origin.details:
            yield f"   - {literal(place)}: `{code(parts)}`"


def literal(text: str) -> str:
    """Any text as it may stand in a line of Markdown: nothing in it is markup."""
    return _ACTIVE.sub(r"\\\1", " ".join(visible(text).split()))


def code(text: str) -> str:
    """Any text as it may stand between backticks, in a table too."""
    return " ".join(visible(text).replace("`", "'").split())
