"""What the suite is asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("environment", "tests", "bench-training", "bench-sampling", "texts", "speed", "packaged")

EPILOG = """A slice ends with 75 as long as there is more to do: give the same command again, in a minute or in a day.
The last one ends with 0, or with 1 where a task failed; progress.json and report.md in OUTPUT say which and why.

  scripts/gpu_suite run --work runs/gpu --output OUT --data DATA --wheels WHEELS
  scripts/gpu_suite join OUT models
"""


@dataclass(frozen=True)
class Options:
    """Of `gpu_suite run`.

    Attributes:
        work: what stays on the machine between slices.
        output: what is to be taken away.
        data: the folder of texts; see `prepare_corpus.py`.
        wheels: a folder of wheels, or None.
        device: cpu or cuda.
        slice_minutes: of one call.
        budget_minutes: of all calls.
        only: the groups that are run; () for all.
        max_files: that a slice leaves in `output`, or None.
        toy: everything as small as can be, on a CPU.
        grace: seconds for a command to end when it is asked to.
    """

    work: Path
    output: Path
    data: Path | None
    wheels: Path | None
    device: str
    slice_minutes: float
    budget_minutes: float
    only: tuple[str, ...]
    max_files: int | None
    toy: bool
    grace: float

    def seconds(self, minutes: float) -> float:
        """What so many minutes of an hour's budget are in this one."""
        return 60 * minutes * self.budget_minutes / 60


def parser() -> argparse.ArgumentParser:
    """Both commands of the suite."""
    made = argparse.ArgumentParser(prog="gpu_suite", description="Everything that wants a GPU, in slices that resume.")
    commands = made.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="go on with the suite, for one slice",
        description="Tests marked gpu, both benches, the speed runs, and the packaged model, as far as a slice goes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--output", type=Path, required=True, help="where results, report, logs and weights are written")
    run.add_argument(
        "--work", type=Path, default=Path("runs/gpu-suite"), help="what stays between slices (%(default)s)"
    )
    run.add_argument(
        "--data", type=Path, default=os.environ.get("TEXTDIFF_DATA"), help="texts; by default TEXTDIFF_DATA"
    )
    run.add_argument("--wheels", type=Path, help="wheels of packages that are missing here")
    run.add_argument("--device", default=None, help="cuda, or with --toy cpu")
    run.add_argument("--slice-minutes", type=float, default=9.5, help="how long this call may take (%(default)s)")
    run.add_argument("--budget-minutes", type=float, default=60.0, help="for all but preparing texts (%(default)s)")
    run.add_argument("--only", default="", help=f"groups of tasks, parted by commas: {', '.join(GROUPS)}")
    run.add_argument(
        "--max-files", type=int, help="files that a slice may leave in OUTPUT; weights then come over several"
    )
    run.add_argument("--toy", action="store_true", help="the same path at toy size on a CPU")
    join = commands.add_parser("join", help="put weights together again, and verify them")
    join.add_argument("source", type=Path, help="a folder with weights.json and all parts")
    join.add_argument("target", type=Path, help="where a folder for each model is made")
    return made


def parsed(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace | Options:
    """The options of `run`, or the words of `join`."""
    words = made.parse_args(arguments)
    if words.command == "join":
        return words
    only = tuple(name for name in words.only.split(",") if name)
    if unknown := {*only} - {*GROUPS}:
        made.error(f"--only knows no {', '.join(sorted(unknown))}; it takes {', '.join(GROUPS)}")
    if not words.slice_minutes > 0 or not words.budget_minutes > 0:
        made.error("--slice-minutes and --budget-minutes must be above 0")
    if words.max_files is not None and words.max_files < 6:
        made.error("--max-files must be at least 6: five files say what was found, the others are weights")
    if words.wheels is not None and not words.wheels.is_dir():
        made.error(f"--wheels: {words.wheels} is no folder")
    return Options(
        work=words.work.absolute(),
        output=words.output.absolute(),
        data=None if words.data is None else Path(words.data).absolute(),
        wheels=None if words.wheels is None else words.wheels.absolute(),
        device=words.device or ("cpu" if words.toy else "cuda"),
        slice_minutes=words.slice_minutes,
        budget_minutes=words.budget_minutes,
        only=only,
        max_files=words.max_files,
        toy=words.toy,
        grace=8.0 if words.toy else 25.0,
    )
