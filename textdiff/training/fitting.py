"""How many samples fit in memory at once, found by trying."""

from __future__ import annotations

from collections.abc import Callable

from textdiff.errors import ResourceError, wants_memory
from textdiff.training.memory import Gauge


def rows_that_fit(trial: Callable[[int], None], most: int, gauge: Gauge, any_of: Callable[[bool], bool]) -> int:
    """The largest power of two of samples that fits, at most the first one that covers `most`.

    A number is tried only if the one before it, twice over, would have fitted: on most machines too much memory ends a process,
    and is no error that could be caught. Where it is one (CUDA), it counts as "does not fit".

    Args:
        trial: a training step with so many samples. What it allocates once (gradients, the optimizer's state) stays.
        most: samples beyond which more are of no use.
        gauge: of the memory.
        any_of: whether something holds in any of the processes; all search together.

    Raises:
        ResourceError: not even one sample fits.
    """

    def peak(rows: int) -> int | None:
        try:
            return gauge.peak_of(lambda: trial(rows))
        except (MemoryError, RuntimeError) as error:
            if not wants_memory(error):
                raise
            return None

    first = peak(1)
    if any_of(first is None):
        raise ResourceError("there is not enough memory for a single sample; make the context or the model smaller")
    kept = gauge.in_use()
    rows, used = 1, peak(1)
    while rows < most:
        twice = None if used is None else kept + 2 * max(0, used - kept)
        if any_of(twice is None or twice > gauge.limit()):
            break
        used = peak(2 * rows)
        if any_of(used is None):
            break
        rows *= 2
    return rows
