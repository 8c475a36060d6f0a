"""Commands that may not outlast a moment: they are asked to end, and then ended with all that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; negative where a signal ended it.
        seconds: how long it ran.
        cut: whether it was asked to end because its time was over.
    """

    code: int
    seconds: float
    cut: bool


@dataclass(frozen=True)
class Slice:
    """A stretch of time in which commands may run.

    Attributes:
        stop: when commands are asked to end, by `time.monotonic`.
        grace: seconds from there until they are killed.
    """

    stop: float
    grace: float

    @staticmethod
    def of(minutes: float, grace: float) -> Slice:
        """From now on; `grace` seconds at its end are for ending, and as many for what is written at last."""
        return Slice(time.monotonic() + max(1.0, 60 * minutes - 2 * grace), grace)

    @property
    def left(self) -> float:
        """Seconds until commands are asked to end."""
        return self.stop - time.monotonic()

    def run(
        self, command: Sequence[str], output: Path, log: Path, environment: Mapping[str, str], limit: float
    ) -> Ended:
        """Runs a command in a process group of its own, for at most `limit` seconds.

        Args:
            output: where its standard output goes, from the start.
            log: where its standard error is added.
        """
        began = time.monotonic()
        with output.open("wb") as out, log.open("ab") as err:
            err.write(f"$ {' '.join(command)}\n".encode())
            err.flush()
            child = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            try:
                code, cut = self._wait(child, min(limit, self.left))
            finally:
                _end(child, signal.SIGKILL)
                child.wait()
        return Ended(code, time.monotonic() - began, cut)

    def _wait(self, child: subprocess.Popen[bytes], seconds: float) -> tuple[int, bool]:
        try:
            return child.wait(max(0.0, seconds)), False
        except KeyboardInterrupt:  # whoever stops the suite stops the command in the same way, and waits for it
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self.grace)
            raise
        except subprocess.TimeoutExpired:
            child.terminate()  # the command itself: what it started may have to finish first
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(self.grace), True
        return -int(signal.SIGKILL), True


def _end_with_parent() -> None:
    """Linux asks this process to end when the suite dies: nobody would wait for it, and it would hold the GPU."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG


def _end(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """The whole process group, whether its leader lives or not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
