"""Batches that are ready when they are wanted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset

from textdiff.errors import ConfigError, ResourceError
from textdiff.text.canvas import Canvas

_NEWS = 0.5
"""Seconds until the end of a process is known to the one that started it."""
_ENOUGH = 8
"""Processes that keep a GPU busy with a small network."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _ByNumber(Dataset[Canvas]):
    """What a function makes of a number."""

    def __init__(self, make: Callable[[int], Canvas]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> Canvas:
        return self._make(number)


def batches(make: Callable[[int], Canvas], numbers: range, workers: int, pin: bool) -> Iterator[Canvas]:
    """What `make` gives for each of the numbers, in their order.

    As it follows from the number alone, nothing depends on which process makes it, or when.

    Args:
        make: runs in the workers.
        numbers: what it is called with.
        workers: processes that make batches ahead; with 0 each is made when it is wanted.
        pin: whether batches come in memory that a GPU fetches from by itself.
    """
    loader = DataLoader(
        _ByNumber(make),
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # else the global one would be drawn from
        worker_init_fn=_leave_signals_to_the_parent,
        # The corpus is mapped memory: a fork shares it, whereas all else would copy it to every worker.
        multiprocessing_context="fork" if workers else None,
        pin_memory=pin,
    )
    with _held_signals() if workers else nullcontext():
        made = iter(loader)  # this starts the workers
    try:
        yield from made
    except (ConnectionError, EOFError):  # half a batch came: its worker is gone
        time.sleep(_NEWS)  # here torch hears of it, and raises what `lost_worker` knows
        raise _lost() from None


def lost_worker(error: RuntimeError) -> ResourceError | None:
    """The end of a worker in a person's words, if this is it: torch raises it wherever the run stands when it hears of it."""
    return _lost() if "DataLoader worker" in str(error) else None


def _lost() -> ResourceError:
    return ResourceError(
        "a process that makes batches was killed, perhaps because memory ran out; "
        "make training.dataloader_num_workers smaller, 0 needs no such process"
    )


def workers_for(wanted: int | Literal["auto"], device: torch.device, processes: int) -> int:
    """How many workers a process of a run has.

    Args:
        wanted: `auto` is none where the CPU has to do all else too.
        device: that the network runs on.
        processes: that share this machine's cores.

    Raises:
        ConfigError: this system cannot have any.
    """
    can = "fork" in multiprocessing.get_all_start_methods()
    if wanted == "auto":
        spare = (os.cpu_count() or 1) // processes - 1
        return max(0, min(_ENOUGH, spare)) if can and device.type != "cpu" else 0
    if wanted and not can:
        raise ConfigError("dataloader_num_workers must be 0: this system cannot fork processes")
    return wanted


def _as_it_is(made: Any) -> Any:
    return made


@contextmanager
def _held_signals() -> Iterator[None]:
    """What is started in here begins life with these signals held back, until it ignores them; here they arrive afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_signals_to_the_parent(_: int) -> None:
    """A terminal interrupts all processes at once; the parent still needs its batches, and ends its workers itself."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
