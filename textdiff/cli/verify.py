"""`textdiff verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from textdiff.cli.loading import hush
from textdiff.cli.output import put
from textdiff.errors import CheckpointError, VerificationError
from textdiff.files import verify_folder

EXAMPLES = r"""Examples:
  textdiff verify default
  textdiff verify runs/mine
"""


def verify(
    model: Annotated[str, typer.Argument(metavar="FOLDER", help="A checkpoint, a run's folder, or 'default'.")],
) -> None:
    """Check that a model is intact.

    Every file is compared with the manifest, and all weights must load and be finite.
    """
    hush()
    from textdiff.infiller import Checkpoint, find_model

    folder = find_model(model)
    problems = verify_folder(folder)
    if not problems and (folder / "config.json").exists():
        try:
            Checkpoint.load(folder)
        except CheckpointError as error:
            problems = [str(error)]
    if problems:
        counted = "1 check" if len(problems) == 1 else f"{len(problems)} checks"
        raise VerificationError(f"{folder} failed {counted}: {'; '.join(problems)}")
    put(f"ok: {folder}\n")
