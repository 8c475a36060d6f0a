"""What this process runs on, and which of the processes of a run it is."""

from __future__ import annotations

import torch
from accelerate import Accelerator, PartialState


def make_accelerator() -> Accelerator:
    """Accelerate's entry, told where there is no accelerator: else several processes on CPUs would not find each other."""
    return Accelerator(cpu=not torch.accelerator.is_available())


def is_main_process() -> bool:
    """Whether this process writes the run's files."""
    return bool(PartialState(cpu=not torch.accelerator.is_available()).is_main_process)


def process_count() -> int:
    """How many processes train together."""
    return int(PartialState(cpu=not torch.accelerator.is_available()).num_processes)


def has_bf16_units() -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
