"""Requests to end: a run that is asked to stop finishes its step and saves first."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from textdiff.errors import PreemptedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequests:
    """Notes SIGTERM and SIGINT inside a `with`; a second SIGINT interrupts at once. Elsewhere than in the main thread
    Python lets nobody listen to signals, and nothing is noted."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup sets it
            self._before = {number: signal.signal(number, self._note) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = self.received or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def stopped(received: int, step: int, state: Path) -> BaseException:
    """How a run ends that was asked to."""
    if received == signal.SIGINT:
        return KeyboardInterrupt(f"interrupted after step {step}; the same command goes on from {state}")
    return PreemptedError(f"stopped by SIGTERM after step {step}; the same command goes on from {state}")
