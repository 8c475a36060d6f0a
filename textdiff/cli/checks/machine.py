"""The machine: its system, cores, memory and devices, and what torch makes of them."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from textdiff.cli.checks.finding import Asked, Finding, note, ok, size

_ENOUGH = 2 << 30
"""Bytes of memory with which small models fill and train."""
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_CUDA_SIGNS = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"))


def check_system(asked: Asked) -> Iterator[Finding]:
    """The operating system."""
    found = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if sys.platform in ("linux", "darwin"):
        yield ok("system", found)
    else:
        yield note("system", found, "textdiff is made for Linux and macOS; on Windows use WSL.")


def check_processor(asked: Asked) -> Iterator[Finding]:
    """The cores that this process may use, and how many of them torch uses."""
    import torch

    usable, threads = usable_cores(), torch.get_num_threads()
    used = "1 thread" if threads == 1 else f"{threads} threads"
    found = f"{_processor_name()}, {usable} of {os.cpu_count()} cores usable, torch uses {used}"
    if threads > usable:
        yield note("processor", found, f"More threads than cores are slow: set OMP_NUM_THREADS={usable}.")
    elif threads * 2 < usable:
        yield note("processor", found, f"Most cores are idle: set OMP_NUM_THREADS={usable} to use them all.")
    else:
        yield ok("processor", found)


def usable_cores() -> int:
    """Cores that the system lets this process run on, and that its container pays for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # "max 100000", or microseconds of a period
        quota, period = map(int, _CPU_QUOTA.read_text().split())
        cores = min(cores, max(1, quota // period))
    return cores


def check_memory(asked: Asked) -> Iterator[Finding]:
    """The memory of the machine, and what this process may take of it."""
    import psutil

    from textdiff.training.memory import left_in_container

    machine, process = psutil.virtual_memory(), psutil.Process().memory_info()
    left = {"free": int(machine.available)}
    if (container := left_in_container()) < sys.maxsize:
        left["left by the container"] = container
    for words, limit, taken in _limits(process.vms, getattr(process, "data", process.rss)):
        left[f"left by {words}"] = max(0, limit - taken)
    found = ", ".join([f"{size(machine.total)} in all", *(f"{size(count)} {what}" for what, count in left.items())])
    if min(left.values()) < _ENOUGH:
        advice = f"Close other programs or raise the limit: textdiff wants {size(_ENOUGH)}, large models more."
        yield note("memory", found, advice)
    else:
        yield ok("memory", found)


def _limits(addresses: int, data: int) -> Iterator[tuple[str, int, int]]:
    """The limits on this process: how they are called, bytes, and bytes that it has."""
    import resource

    for words, kind, taken in (
        ("ulimit -v", resource.RLIMIT_AS, addresses),
        ("ulimit -d", resource.RLIMIT_DATA, data),
    ):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            yield words, limit, taken


def check_devices(asked: Asked) -> Iterator[Finding]:
    """The accelerators that torch sees."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        facts = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        memory = f"{size(free)} of {size(total)} free"
        yield ok(f"cuda:{number}", f"{facts.name}, {memory}, compute capability {facts.major}.{facts.minor}")
    if torch.backends.mps.is_available():
        yield ok("mps", "an Apple GPU is there; filling runs on the CPU")
    elif not count:
        yield _no_device(torch.version.cuda)


def _no_device(built_for: str | None) -> Finding:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not (shutil.which("nvidia-smi") or any(sign.exists() for sign in _CUDA_SIGNS)):
        return ok("devices", "no GPU; everything runs on the CPU")
    advice = "Install a build of torch for CUDA: https://pytorch.org/get-started"
    if built_for is not None:
        advice = f"Update the driver to one that knows CUDA {built_for}, or install a build of torch for an older CUDA."
    return note("devices", "there are signs of an NVIDIA GPU, but torch cannot use it", advice)


def check_distributed(asked: Asked) -> Iterator[Finding]:
    """What several processes could talk to each other by."""
    import torch
    from torch import distributed as together

    there = {"gloo": False, "nccl": False}
    if together.is_available():
        there = {"gloo": together.is_gloo_available(), "nccl": together.is_nccl_available()}
    found = ", ".join(name if has else f"no {name}" for name, has in there.items())
    if there["gloo"] and (there["nccl"] or not torch.cuda.is_available()):
        yield ok("distributed", found)
    else:
        missing = "gloo" if not there["gloo"] else "nccl"
        yield note(
            "distributed", found, f"To train with several processes, install a build of torch that has {missing}."
        )


def check_compiler(asked: Asked) -> Iterator[Finding]:
    """Whether torch.compile would find a C++ compiler. Nothing but benchmarks uses it."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    there = next((name for name in names if name and shutil.which(name)), None)
    if there is not None:
        yield ok("compiler", f"{there}, for torch.compile")
    else:
        yield note("compiler", "no C++ compiler", "Only torch.compile needs one; install g++ to use that.")


def _processor_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
