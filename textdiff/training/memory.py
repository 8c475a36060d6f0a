"""How much memory a process uses, and how much it may."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

_SHARE = 0.8
"""Of the free memory of a machine: others use it too, and who takes too much of it is killed."""

_SHARE_OF_DEVICE = 0.9
"""Of the memory of a device that nobody else has: some of it is lost between tensors."""


class Gauge(ABC):
    """Measures memory in bytes."""

    @abstractmethod
    def in_use(self) -> int:
        """What is in use now."""

    @abstractmethod
    def limit(self) -> int:
        """What may be in use at most."""

    @abstractmethod
    def peak_of(self, work: Callable[[], None]) -> int:
        """The most that was in use at any moment while `work` ran."""


class CudaGauge(Gauge):
    """What torch's tensors take of a CUDA device."""

    def in_use(self) -> int:
        return torch.cuda.memory_allocated()

    def limit(self) -> int:
        return int(_SHARE_OF_DEVICE * (torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()))

    def peak_of(self, work: Callable[[], None]) -> int:
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()


class HostGauge(Gauge):
    """What this process takes of the machine, or of the container that it runs in."""

    def in_use(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def limit(self) -> int:
        free = min(int(psutil.virtual_memory().available), left_in_container())
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # all of them grow at once
        return self.in_use() + int(_SHARE * free / processes)

    def peak_of(self, work: Callable[[], None]) -> int:
        with contextlib.suppress(OSError):  # elsewhere the peak is that of the whole life, which errs on the safe side
            Path("/proc/self/clear_refs").write_text("5")
        work()
        return max(self.in_use(), _high_water())


def gauge_for(device: torch.device) -> Gauge:
    """A gauge of the memory that tensors on this device take."""
    return CudaGauge() if device.type == "cuda" else HostGauge()


def _high_water() -> int:
    """The most memory that this process has had; on Linux since the mark was last reset."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def left_in_container(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What the control groups (version 2) that this process is in leave; no limit where there is none.

    Args:
        root: where the groups are mounted.
        own: the file that names the group of this process, as `0::/a/b`.
    """
    inner = ""
    with contextlib.suppress(OSError):
        inner = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "")
    group = root / inner.strip("/")
    folders = [group, *group.parents][: len(group.relative_to(root).parts) + 1]
    return min(map(_left_in_group, folders), default=sys.maxsize)


def _left_in_group(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        taken = int((folder / "memory.current").read_text()) - int(stat["inactive_file"])  # a cache gives way
        return int((folder / "memory.max").read_text()) - taken
    return sys.maxsize
