"""The largest memory that a piece of work takes, in a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench_timing import Work

from textdiff.training.memory import gauge_for

SIDES = ("peer", "ours")


def peak_bytes(make: Callable[[], Work], device: str, pieces: int = 2) -> int:
    """Bytes at most while a side is made and does some pieces of work, beyond those of a process that only imported.

    On a CPU those of the process; on a GPU those of tensors there.
    """
    gauge = gauge_for(torch.device(device))
    before = gauge.in_use()

    def do() -> None:
        work = make()
        for number in range(pieces):
            work(number)

    return gauge.peak_of(do) - before


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
