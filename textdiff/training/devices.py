"""What this process runs on, and which of the processes of a run it is."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, PartialState

from textdiff.errors import ConfigError

_ELSEWHERE = {"DEEPSPEED": "DeepSpeed", "MEGATRON_LM": "Megatron-LM"}


def make_accelerator() -> Accelerator:
    """Accelerate's entry, told where there is no accelerator: else several processes on CPUs would not find each other.

    The precision is the recipe's, whatever `accelerate launch` was told: see `TrainingStep`.

    Raises:
        ConfigError: `accelerate launch` was asked for an engine that this training does not know.
    """
    for key, engine in _ELSEWHERE.items():
        if asked_for(key):
            raise ConfigError(
                f"accelerate launch was told to use {engine}, which textdiff cannot; use --use_fsdp --fsdp_version 2"
            )
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")


def asked_for(engine: str) -> bool:
    """Whether `accelerate launch` was told to use this engine: it says so in the environment."""
    return os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in ("true", "1")


def is_main_process() -> bool:
    """Whether this process writes the run's files."""
    return bool(PartialState(cpu=not torch.accelerator.is_available()).is_main_process)


def process_count() -> int:
    """How many processes train together."""
    return int(PartialState(cpu=not torch.accelerator.is_available()).num_processes)


def processes_here() -> int:
    """How many of them run on this machine, as far as the launcher says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 0)) or process_count()
