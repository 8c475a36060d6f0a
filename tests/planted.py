"""Folders with models, and what somebody with bad intentions puts into them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM

from textdiff.files.manifest import write_manifest
from textdiff.infiller.checkpoint import without_progress_bars
from textdiff.text.tokenizers import load_tokenizer

CANARY = "canary"
"""A file that appears beside the folder if something of it is run."""
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##x"]


def save_masked_lm(folder: Path) -> Path:
    """A small masked language model, as another tool leaves it: no manifest."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng(), without_progress_bars():
        torch.manual_seed(0)
        BertForMaskedLM(BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    load_tokenizer(folder).save(folder)
    (folder / "vocab.txt").unlink()
    return folder


def seal(folder: Path) -> None:
    """Whoever makes a folder can make a manifest that fits it."""
    if (folder / "MANIFEST.json").exists():
        write_manifest(folder)


def rewrite(folder: Path, file: str = "config.json", **values: Any) -> None:
    """Sets keys of a JSON file, which need not be there."""
    path = folder / file
    found = json.loads(path.read_text(encoding="utf8")) if path.exists() else {}
    path.write_text(json.dumps(found | values), encoding="utf8")


class _Touching:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.place}'",)


def plant_pickle(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(_Touching(folder.parent / CANARY)))


def plant_weights(folder: Path, name: str = "pytorch_model.bin") -> None:
    torch.save(_Touching(folder.parent / CANARY), folder / name)


def plant_code(folder: Path, name: str = "evil.py") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(f"open({str(folder.parent / CANARY)!r}, 'w')\n")


def change_tokenizer(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "tokenizer.json"
    found = json.loads(path.read_text(encoding="utf8"))
    change(found)
    path.write_text(json.dumps(found), encoding="utf8")


def split_at(pattern: str) -> Callable[[dict[str, Any]], object]:
    """A tokenizer that first cuts texts by a regular expression."""

    def change(spec: dict[str, Any]) -> None:
        cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [cut, spec["pre_tokenizer"]]}

    return change
