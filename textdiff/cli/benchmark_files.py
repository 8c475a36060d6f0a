"""The files of a benchmark's report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from textdiff.cli.benchmark_markdown import markdown
from textdiff.cli.benchmark_page import page
from textdiff.cli.benchmark_plots import Plot, plots
from textdiff.cli.output import say
from textdiff.files import atomic_write

if TYPE_CHECKING:
    from textdiff.evaluation.benchmark import Report


def write_report(report: Report, folder: Path) -> list[Path]:
    """Writes all of them, each in one step; returns their places.

    Raises:
        DataError: a file cannot be written.
        ResourceError: the disk is full.
    """
    from textdiff.evaluation.benchmark import REPORT

    pictures = _draw(report, folder / "plots")
    plain = json.dumps(report.plain(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    named = [(plot.title, f"plots/{path.name}") for plot, path in pictures]
    images = [(plot.title, path.read_bytes()) for plot, path in pictures]
    contents = {REPORT: plain, "report.md": markdown(report, named), "report.html": page(report, images)}
    for name, text in contents.items():
        atomic_write(folder / name, text.encode(errors="backslashreplace"))
    return [*(folder / name for name in contents), *(path for _, path in pictures)]


def _draw(report: Report, folder: Path) -> list[tuple[Plot, Path]]:
    """The pictures; none where matplotlib is missing, which is said."""
    from textdiff.curves import MISSING, can_draw, draw_panels, save_picture

    if not can_draw():
        say(f"the report has no pictures: {MISSING}")
        return []
    found = [(plot, folder / f"{plot.name}.png") for plot in plots(report)]
    for plot, path in found:
        save_picture(draw_panels(plot.panels), path)
    return found
