"""Folders of documents, before and after a stub has filled them."""

from __future__ import annotations

import re
from pathlib import Path

from tiny import Ended

from textdiff.text.document import Document

LETTERS = {
    "ann.md": b"Dear Ann,\r\nI was at [MASK: 2 tokens].\n",
    "plain.md": b"No gap in here, but \\[MASK].",
    "sub/bob.txt": b"\xef\xbb\xbfBob, [MASK: 1 token] and \\[MASK] or [MASK: 3 tokens]",
    "sub/deep/cid.md": b"[MASK: 2 tokens]\n",
    "photo.jpg": b"\xff\xd8\xff\0\x01",
}
FILLED = {name for name, data in LETTERS.items() if data.count(b"[MASK") > data.count(b"\\[MASK")}


def write_all(folder: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def read_all(folder: Path) -> dict[str, bytes]:
    """What is in a folder, the journal left out; nothing where there is none."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files if not p.name.startswith(".textdiff")}


def expected(content: dict[str, bytes], seed: int = 0) -> dict[str, bytes]:
    """What a stub makes of documents with the names of `LETTERS`."""
    found = {}
    for name, data in content.items():
        document = Document.parse(data) if name in FILLED else None
        found[name] = data if document is None else document.fill([f"filled {seed}"] * len(document.gaps)).data
    return found


def summary(ended: Ended) -> str:
    """The last line on stderr but for an error, without what it took."""
    lines = [line for line in ended.err.splitlines() if "textdiff: error:" not in line]
    return re.sub(r"; [\d.,]+ s(, [\d.,]+ gaps/s)?$", "", lines[-1])
