"""Texts so small that the whole path takes a minute, laid out as the real ones are."""

from __future__ import annotations

import lzma
from pathlib import Path

from suite.environment import ROOT


def make_texts(folder: Path) -> Path:
    """Writes them once; returns the folder."""
    text = (ROOT / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")
    parts = {
        "novels-pd/novels.train.txt.xz": text[:12_000],
        "novels-pd/novels.valid.txt.xz": text[12_000:14_000],
        "nltk-open/us_presidential_speeches.txt.xz": text[18_000:19_000],
        "nltk-open/gutenberg15.txt.xz": f"[Emma by Jane Austen 1816]\n{text[14_000:18_000]}",
    }
    for name, part in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(lzma.compress(part.encode()))
    return folder
