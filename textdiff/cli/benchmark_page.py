"""A benchmark's report as one page of HTML: no network, no script, and safe whatever the texts say."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textdiff import __version__
from textdiff.cli.benchmark_markdown import INTERVALS, inputs
from textdiff.cli.benchmark_origins import Origin, origins
from textdiff.cli.benchmark_tables import Table, sections
from textdiff.cli.pages import fill_page, policy, resource
from textdiff.cli.trace_parts import as_html

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Report


def page(report: Report, pictures: Sequence[tuple[str, bytes]] = ()) -> str:
    """The page.

    Args:
        report: what was measured.
        pictures: titles and PNG files.
    """
    style = resource("benchmark.css")
    return fill_page(
        resource("benchmark.html"),
        policy=policy(style, images=True),
        version=as_html(__version__),
        style=style,
        title=as_html(report.title),
        description=f"<p>{as_html(report.description)}</p>" if report.description else "",
        facts=f"Made by textdiff {as_html(report.version)}, seed {report.seed}, with <code>{as_html(report.command)}</code>",
        intervals=as_html(INTERVALS),
        inputs="\n".join(f"<h2>{as_html(table.title)}</h2>\n{table_html(table)}" for table in inputs(report)),
        pictures="\n".join(_picture(title, data) for title, data in pictures),
        sections="\n".join(_sections(report)),
        origins="\n".join(map(_origin, origins(report))),
    )


def table_html(table: Table, linked: bool = False) -> str:
    """A table that scrolls by itself where it is too wide; `linked`: its column "cell" leads to the cell's origin."""
    head = "".join(f'<th scope="col"{_kind(i, table)}>{as_html(cell)}</th>' for i, cell in enumerate(table.header))
    body = "".join(f"<tr>{''.join(_cells(row, table, linked))}</tr>\n" for row in table.rows)
    prose = ' class="prose"' if table.labels == len(table.header) else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{as_html(table.title)}">'
        f"<table{prose}><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], table: Table, linked: bool) -> Iterator[str]:
    for i, text in enumerate(row):
        shown = as_html(text)
        if linked and table.header[i] == "cell":
            shown = f'<a href="#cell-{shown}">{shown}</a>'
        yield f'<th scope="row">{shown}</th>' if i == 0 else f"<td{_kind(i, table)}>{shown}</td>"


def _kind(column: int, table: Table) -> str:
    return ' class="number"' if column >= table.labels else ""


def _sections(report: Report) -> Iterator[str]:
    for section in sections(report):
        yield f'<h2>{as_html(section.title)}</h2>\n<p class="facts">{as_html(section.explained)}</p>'
        for table in section.tables:
            yield f"<h3>{as_html(table.title)}</h3>\n{table_html(table, linked=True)}"


def _picture(title: str, data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure><h2>{as_html(title)}</h2><img alt="{as_html(title)}; the figures are in the tables" '
        f'src="data:image/png;base64,{encoded}"></figure>'
    )


def _origin(origin: Origin) -> str:
    lines = [f"<p><code>{as_html(origin.command)}</code></p>"]
    if origin.skipped is not None:
        lines.append(f"<p>Not measured: {as_html(origin.skipped)}</p>")
    if origin.signature:
        lines.append(f'<p class="signature">{as_html(origin.signature)}</p>')
    lines += [f'<p class="signature"><b>{as_html(place)}</b> {as_html(parts)}</p>' for place, parts in origin.details]
    return (
        f'<li id="cell-{origin.number}"><h3>{as_html(origin.id)} <small>{as_html(origin.cost)}</small></h3>'
        f"{''.join(lines)}</li>"
    )
