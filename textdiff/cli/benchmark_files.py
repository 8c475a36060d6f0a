"""The files of a benchmark's report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from textdiff.cli.benchmark_markdown import markdown
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

    plain = json.dumps(report.plain(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {REPORT: plain, "report.md": markdown(report)}
    for name, text in contents.items():
        atomic_write(folder / name, text.encode(errors="backslashreplace"))
    return [folder / name for name in contents]
