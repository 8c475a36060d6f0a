"""Trackers of other makers, through Accelerate: they are told what the log is told."""

from __future__ import annotations

import contextlib
import importlib
import math
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType, ProjectConfiguration

from textdiff.errors import ConfigError, nearest
from textdiff.training.fingerprint import flat

PROJECT = "textdiff"
KNOWN = tuple(str(kind.value) for kind in LoggerType if kind is not LoggerType.ALL)
_PREFIXES = {"step": "train", "skipped": "train", "evaluation": "eval", "final": "final"}


def check_trackers(names: tuple[str, ...]) -> None:
    """Raises ConfigError where Accelerate knows no tracker of a name."""
    for name in names:
        if name not in KNOWN:
            raise ConfigError(
                f"report_to: no tracker is named {name!r}.{nearest(name, KNOWN)} Known: {', '.join(KNOWN)}"
            )


def require_trackers(names: tuple[str, ...]) -> None:
    """Raises ConfigError, with what to do, where the package of a tracker is missing."""
    there = {str(found) for found in get_available_trackers()}
    missing = [name for name in names if name not in there]
    if missing:
        packages = " ".join(name.replace("_", "-") for name in missing)
        raise ConfigError(f"training.report_to names {', '.join(missing)}, not installed here: pip install {packages}")


class Trackers:
    """The trackers of a run. One that fails is named once and asked no more; the run and the others go on.

    What they write on this machine is in the run's folder, under `trackers`.
    """

    def __init__(
        self, names: tuple[str, ...], output: Path, config: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        """Notes what is wanted; nothing is opened before the record `start`.

        Args:
            names: see `TrainingConfig.report_to`; none on all processes but the first.
            output: the run's folder.
            config: the whole recipe as plain data.
            say: tells a person something.
        """
        self._names, self._output, self._config, self._say = names, output, config, say
        self._open: dict[str, Accelerator] = {}

    def close(self) -> None:
        """Lets the trackers write what they still hold."""
        for name in [*self._open]:
            with self._surviving(name):
                _finish(name, self._open.pop(name))

    def record(self, kind: str, values: Mapping[str, Any]) -> None:
        """Passes a record of the log on: its numbers, named after what it is about."""
        step = int(values.get("step", 0))
        if kind == "start":
            for name in self._names:
                with self._surviving(name):
                    self._open[name] = self._start(name, step)
        if kind not in _PREFIXES:
            return
        figures = {
            f"{_PREFIXES[kind]}/{key}": value for key, value in values.items() if key != "step" and _figure(value)
        }
        if kind == "skipped":
            figures["train/skipped"] = 1
        for name, accelerator in [*self._open.items()]:
            with self._surviving(name):
                accelerator.log(figures, step=step)

    def _start(self, name: str, step: int) -> Accelerator:
        """An Accelerator for each, so that one which cannot be opened costs no other."""
        folder = self._output / "trackers"
        folder.mkdir(parents=True, exist_ok=True)
        run = self._identity(folder)
        options: dict[str, dict[str, Any]] = {
            "tensorboard": {"purge_step": step + 1},  # what came after this step is done anew
            "wandb": {"name": self._output.resolve().name, "id": run, "resume": "allow", "dir": str(folder)},
            "trackio": {"name": f"{self._output.resolve().name}-{run}", "resume": "allow"},
        }
        place = ProjectConfiguration(project_dir=str(self._output), logging_dir=str(folder))
        cpu = not torch.accelerator.is_available()
        accelerator = Accelerator(cpu=cpu, log_with=name, project_config=place)
        accelerator.init_trackers(PROJECT, _scalars(self._config), options)
        return accelerator

    def _identity(self, folder: Path) -> str:
        """What makes the parts of an interrupted run one run to a tracker."""
        file = folder / "run_id"
        with contextlib.suppress(OSError):
            if not file.exists():
                file.write_text(secrets.token_hex(4) + "\n", encoding="utf8")
            return file.read_text(encoding="utf8").strip()
        return secrets.token_hex(4)

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        """Ends a tracker that fails, not the run. What trackers print goes to stderr, and signals stay ours."""
        try:
            with contextlib.redirect_stdout(sys.stderr), _signals_kept():
                yield
        except Exception as error:
            self._open.pop(name, None)
            words = " ".join(f"{type(error).__name__}: {error}".split())
            self._say(f"{name} failed and is told no more; training goes on: {words}")


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Puts back the handlers that something replaced: on them it hangs that a run ends with a good state."""
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ours.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def _finish(name: str, accelerator: Accelerator) -> None:
    """Not by `end_training`, which also parts the processes."""
    if name == "trackio":  # only its own function forgets the run, which else ends again, aloud, with the interpreter
        importlib.import_module("trackio").finish()
        return
    for tracker in accelerator.trackers:
        tracker.finish()


def _figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _scalars(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options under dotted names, as all trackers take them: numbers, truth values and words."""
    plain = flat(config)
    return {key: value if isinstance(value, (bool, int, float, str)) else str(value) for key, value in plain.items()}
