"""A tiny untrained model, and commands run in this process."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch

from textdiff.backbones import DiTConfig
from textdiff.cli import main
from textdiff.infiller import Checkpoint, DefaultSamplers
from textdiff.model import DiffusionModel
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.text.tokenizers import train_tokenizer

TEXT = "The old house stood by the river, and the rain fell on the garden all day long.\n" * 4
CONTEXT = 64


def tiny_checkpoint(process: str = "absorbing", kind: str = "byte_bpe", context_length: int = CONTEXT) -> Checkpoint:
    """Two layers of width 32 with random weights, always the same."""
    tokenizer = train_tokenizer(kind, [TEXT], 300)
    network = DiTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    noise = build(ForwardProcess, process, vocabulary=tokenizer.vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DiffusionModel.of(network, noise, context_length).eval()
    return Checkpoint(model, tokenizer, DefaultSamplers.of(model.process), card="# A tiny model\n\nIt knows nothing.\n")


def senseless_checkpoint(process: str = "absorbing") -> Checkpoint:
    """One whose network looks at what it is given, and makes no sense of it: a fresh one says the same everywhere."""
    checkpoint = tiny_checkpoint(process)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in checkpoint.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return checkpoint


def save_tiny(folder: Path, process: str = "absorbing", kind: str = "byte_bpe") -> Path:
    tiny_checkpoint(process, kind).save(folder)
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


class Stream(io.TextIOWrapper):
    """A standard stream in memory, which may say that it is a terminal."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        self.memory = io.BytesIO(data)
        self.terminal = terminal
        super().__init__(self.memory, encoding="utf-8", errors="backslashreplace", write_through=True)

    def isatty(self) -> bool:
        return self.terminal


def run(*words: object, stdin: bytes = b"", terminal: bool = False, watched: bool = False) -> Ended:
    """Runs `textdiff` with these words; `terminal`: stdout is one; `watched`: stderr is one."""
    streams = Stream(stdin), Stream(terminal=terminal), Stream(terminal=watched)
    with (
        patch.object(sys, "stdin", streams[0]),
        patch.object(sys, "stdout", streams[1]),
        patch.object(sys, "stderr", streams[2]),
    ):
        code = main([str(word) for word in words])
        for stream in streams:
            stream.flush()
        return Ended(code, streams[1].memory.getvalue(), streams[2].memory.getvalue().decode())
