"""Runs tasks within a slice, and notes how each of them went. A task that fails stops no other."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.environment import ROOT
from suite.options import Options
from suite.progress import Progress, Record
from suite.slices import Ended, Slice
from suite.tasks import GROUP_MINUTES, AnyTask, Task, TrainingTask
from suite.training import Plan, outcome, speed, steps_done, trial_settings

PREEMPTED = 75
MOST_FRUITLESS = 2
"""Slices in a row that may bring a task nowhere."""

MOST_DEATHS = 4
"""Slices in a row that may die with a task: killed, or the machine with them."""


class Runner:
    """One slice of a run."""

    def __init__(self, options: Options, progress: Progress, slice_: Slice, data: Path | None, site: Path) -> None:
        self.options, self.progress, self.slice = options, progress, slice_
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "TEXTDIFF_GPU_TESTS_ON": options.device,
            "TORCHINDUCTOR_CACHE_DIR": str(options.work / "inductor"),
            **({} if data is None else {"TEXTDIFF_DATA": str(data)}),
            **({"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}),
        }

    def run(self, tasks: Sequence[AnyTask]) -> bool:
        """Does what it can; returns whether all tasks have ended for good."""
        for task in tasks:
            record = self.progress.of(task.name)
            if record.state == "waiting" and not self._refused(task, record):
                if self.slice.left < self._least:
                    return False
                self._attempt(task, record)
            self.progress.save()
            if record.state == "waiting":
                return False
        return True

    @property
    def _least(self) -> float:
        """Seconds under which no task is begun."""
        return min(45.0, 0.2 * 60 * self.options.slice_minutes)

    def _refused(self, task: AnyTask, record: Record) -> bool:
        """Whether it need not even be tried; the record says why."""
        undone = [name for name in task.needs if self.progress.of(name).state != "done"]
        if undone:
            record.state, record.message = "failed", f"it needs {undone[0]}, which is not done"
        elif record.begun >= MOST_DEATHS:
            record.state, record.message = "failed", f"{record.begun} slices in a row died while it ran"
        elif self._left(task) <= 0 and isinstance(task, Task):
            group = task.name.split("/")[0]
            minutes = self.options.seconds(GROUP_MINUTES[group]) / 60
            record.state, record.message = "skipped", f"the {minutes:.1f} minutes of {group} were used up"
        return record.state != "waiting"

    def _left(self, task: AnyTask) -> float:
        """Seconds that the group of a task has left."""
        group = task.name.split("/")[0]
        if group not in GROUP_MINUTES:
            return math.inf
        used = sum(r.seconds for name, r in self.progress.records.items() if name.split("/")[0] == group)
        return self.options.seconds(GROUP_MINUTES[group]) - used

    def _attempt(self, task: AnyTask, record: Record) -> None:
        print(f"{task.name} …", file=sys.stderr, flush=True)
        record.slices += 1
        record.begun += 1
        self.progress.save()  # if all of this goes down with the task, the next slice knows
        try:
            if isinstance(task, TrainingTask):
                self._train(task, record)
            else:
                self._do(task, record)
        except Exception as error:  # what a tool prints is not ours; whatever is odd in it costs this task only
            record.state, record.message = "failed", f"{type(error).__name__}: {error}"
        finally:
            record.begun = 0
        print(f"{task.name}: {record.state} {record.message}".rstrip(), file=sys.stderr, flush=True)

    def _do(self, task: Task, record: Record) -> None:
        limit = self._left(task)
        output = self._place("output", task.name)
        ended = self._command(task.name, task.command, limit, record, output)
        if ended.code == 0:
            record.state, record.result = "done", task.read(output)
        elif not ended.cut:
            self._fail(task.name, record, ended)
            record.result = _whatever(task, output)
        elif self.slice.left > 0:
            record.state, record.message = "failed", f"it did not end within {limit:.0f} seconds"
        else:
            self._fruitless(record)

    def _train(self, task: TrainingTask, record: Record) -> None:
        if "seconds_per_step" not in record.notes and not self._try_out(task, record):
            return
        pace = record.notes["seconds_per_step"]
        before = steps_done(task.output)
        left = Plan.within(task.seconds - record.seconds - record.notes["seconds_to_start"], pace)
        planned = record.notes.setdefault("steps", left.steps)
        plan = Plan(min(planned, before + left.steps), pace)  # what slices cost must not make the run longer
        ended = self._textdiff(task, task.output, plan.settings(), record)
        if ended.code == 0:
            record.state, record.result = "done", outcome(task.output, plan)
        elif not ended.cut:
            self._fail(task.name, record, ended)
        elif steps_done(task.output) > before:
            record.fruitless = 0
        else:
            self._fruitless(record)

    def _try_out(self, task: TrainingTask, record: Record) -> bool:
        """Measures the speed by a few steps in a folder of their own; returns whether that is done."""
        folder = task.output.with_name(f"{task.output.name}-trial")
        shutil.rmtree(folder, ignore_errors=True)
        ended = self._textdiff(task, folder, [*trial_settings(), "data.validation=[]"], record)
        if ended.code == 0:
            pace, trained = speed(folder / "log.jsonl")
            record.notes |= {"seconds_per_step": pace, "seconds_to_start": ended.seconds - trained}
            shutil.rmtree(folder)
            return True
        if ended.cut:
            self._fruitless(record)
        else:
            self._fail(task.name, record, ended)
        return False

    def _textdiff(self, task: TrainingTask, output: Path, settings: Sequence[str], record: Record) -> Ended:
        words = ("train", str(task.recipe), "--output", str(output), "--set", *task.settings, *settings)
        command = (sys.executable, "-m", "textdiff", *words)
        return self._command(task.name, command, self.slice.left, record, self._place("output", task.name))

    def _command(self, name: str, command: Sequence[str], limit: float, record: Record, output: Path) -> Ended:
        ended = self.slice.run(command, output, self._place("logs", name), self.environment, limit)
        record.seconds += ended.seconds
        return ended

    def _place(self, kind: str, name: str) -> Path:
        path = self.options.work / kind / f"{name.replace('/', '-')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _fail(self, name: str, record: Record, ended: Ended) -> None:
        lines = self._place("logs", name).read_text(encoding="utf8", errors="replace").strip().splitlines()
        record.state = "failed"
        record.message = f"it ended with {ended.code}: {lines[-1][:400] if lines else 'it said nothing'}"

    def _fruitless(self, record: Record) -> None:
        record.fruitless += 1
        if record.fruitless >= MOST_FRUITLESS:
            record.state = "failed"
            record.message = f"the ends of {record.fruitless} slices cut it off; make --slice-minutes longer"


def _whatever(task: Task, output: Path) -> object:
    """What a failed command found before it failed: tests that fail have results too."""
    try:
        return task.read(output)
    except Exception:
        return None
