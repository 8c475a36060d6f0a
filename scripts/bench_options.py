"""What all benches are asked in the same words, and how they answer."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from typing import Any

import torch
from bench_memory import SIDES


def parser(text: str | None, shapes: str, memory: str) -> argparse.ArgumentParser:
    """The options that every bench has. text: its docstring; shapes: the default; memory: a shape for the help."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--shapes", default=shapes, help="names from scripts/bench_shapes.py, parted by commas")
    made.add_argument("--rows", type=int, help="rows of a batch, instead of the shape's own")
    made.add_argument("--precisions", default="fp32,bf16")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    made.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    made.add_argument("--compile", action="store_true", help="compile our side's blocks")
    made.add_argument(
        "--compile-peer", action="store_true", help="compile the peer's blocks, which it does not do itself"
    )
    made.add_argument(
        "--memory", metavar="SHAPE", help=f"compare the memory of this shape ({memory}), and nothing else"
    )
    made.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    made.add_argument("--json", action="store_true", help="a line of JSON for each row of the table")
    return made


def parsed(made: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, checked; the threads are set."""
    options = made.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        made.error(f"--device {options.device}: torch sees no CUDA device")
    if options.rounds < 1 or options.threads < 1 or (options.rows is not None and options.rows < 1):
        made.error("--rounds, --rows and --threads must be at least 1")
    if unknown := {*options.precisions.split(",")} - {"fp32", "bf16"}:
        made.error(f"--precisions takes fp32 and bf16, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(options.threads)
    return options


def where(options: argparse.Namespace) -> list[str]:
    """The options for another process on the same device."""
    return ["--device", options.device, "--threads", str(options.threads)]


def machine(device: str, threads: int) -> str:
    """One line that says what the figures were measured on, and one for what stands in them."""
    place = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{platform.machine()}, {threads} threads"
    )
    return f"{place}, torch {torch.__version__}\n*: compiled; rounds begin with the peer and with ours in turn"


def show(row: Mapping[str, Any], line: str, as_json: bool) -> None:
    """A row for a person or for a program, at once."""
    print(json.dumps(row) if as_json else line, flush=True)


def timing_line(row: Mapping[str, Any]) -> str:
    """The ratio and its range, the seconds, and a star at those of a compiled side."""
    seconds = ", ".join(f"{row[f'{side}_seconds']:.4f}{'*' * row[f'{side}_compiled']}" for side in ("peer", "our"))
    return f"{row['ratio']:6.2f}  ({row['lowest']:.2f} - {row['highest']:.2f})  {seconds}"


def memory_line(row: Mapping[str, Any]) -> str:
    """How many times less memory ours takes."""
    return f"{row['shape']}: memory {row['memory_ratio']:.2f} times less ({row['peer_bytes']:,} and {row['our_bytes']:,} bytes)"
