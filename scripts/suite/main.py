"""The command: one slice of the suite, or weights put together again."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from suite.delivery import deliver
from suite.environment import WheelsError, add_wheels
from suite.options import Options, parsed, parser
from suite.parts import PartsError, join
from suite.progress import Progress
from suite.runner import PREEMPTED, Runner
from suite.slices import Slice
from suite.tasks import all_tasks
from suite.toy import make_texts


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when all is done, 1 when all has ended and a task failed, 75 when there is more to do."""
    options = parsed(parser(), arguments)
    if isinstance(options, Options):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return run(options)
    try:
        for folder in join(options.source, options.target):
            print(folder)
    except PartsError as error:
        print(f"gpu_suite: error: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: Options) -> int:
    """One slice."""
    now = Slice.of(options.slice_minutes, options.grace)
    began = time.monotonic()
    settings = {"toy": options.toy, "device": options.device, "budget_minutes": options.budget_minutes}
    progress = Progress(options.work / "progress.json", settings)
    progress.slices += 1
    site = options.work / "site"
    for folder in (options.work, options.output):  # better now than after ten minutes
        folder.mkdir(parents=True, exist_ok=True)
    if options.wheels is not None:
        _add_wheels(options.wheels, site, progress)
    data = make_texts(options.work / "toy-data") if options.toy else options.data
    tasks = all_tasks(options)
    try:
        whole = Runner(options, progress, now, data, site).run(tasks)
    except KeyboardInterrupt:  # or SIGTERM: what has been found is delivered, and the next call goes on
        whole = False
    complete = deliver(options, progress, whole)
    states = [record.state for record in progress.records.values()]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    seconds = time.monotonic() - began
    print(json.dumps({"slice": progress.slices, "seconds": round(seconds), "complete": complete, "tasks": counts}))
    if not complete:
        return PREEMPTED
    return int("failed" in states)


def _add_wheels(wheels: Path, site: Path, progress: Progress) -> None:
    """What goes wrong is one failed task: others may not need what is missing."""
    record = progress.of("wheels")
    try:
        record.state, record.message, record.result = "done", "", add_wheels(wheels, site)
    except WheelsError as error:
        record.state, record.message = "failed", str(error)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    raise SystemExit(main())
