"""`textdiff curves`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textdiff.cli.output import put, say
from textdiff.errors import UsageError

EXAMPLES = r"""Examples:
  textdiff curves runs/mine --output mine.png
  textdiff curves runs/absorbing runs/uniform --output both.svg
"""


def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of runs, finished or not.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A .png, .svg or .pdf file.")],
) -> None:
    """Draw the learning curves of one run, or of several to compare; prints the file.

    NELBO of the held-out text with its standard error, of the training batches, and
    the learning rate, by steps; and where it was measured, the held-out text by noise
    level. The numbers are in each run's log.jsonl and curves/noise.jsonl.
    """
    from textdiff.curves import FORMATS, differences, draw_runs, open_runs, save_picture

    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"--output is {output}, and its name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    found = open_runs(runs)
    save_picture(draw_runs(found), output)
    if different := differences(found):
        say(f"these runs differ in {', '.join(different)}: their nats per token are no ranking")
    put(f"{output}\n")
