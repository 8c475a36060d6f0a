"""The largest memory that a piece of work takes, in a process that does nothing else."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench_timing import Work

SIDES = ("peer", "ours")


def peak_bytes(make: Callable[[], Work], device: str, pieces: int = 2) -> int:
    """Bytes at most while a side is made and does some pieces of work, beyond those of a process that only imported.

    On a CPU those of the process; on a GPU those of tensors there.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        before = _resident()
    work = make()
    for number in range(pieces):
        work(number)
    after = torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else _resident()
    return after - before


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare_memory(script: str | Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Runs a script once for each side, with `--peak SIDE`; it prints what `peak_bytes` gave."""
    found = {}
    for side in SIDES:
        command = [sys.executable, str(script), "--peak", side, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"measuring the memory of {side} failed:\n{done.stderr}")
        found[side] = int(json.loads(done.stdout))
    return {"peer_bytes": found["peer"], "our_bytes": found["ours"], "memory_ratio": found["peer"] / found["ours"]}
