"""A unified diff of a document and its filled form, exact to the byte, for `patch` and `git apply`.

What changed is known, so nothing is searched for: the time is linear in the document's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path

from textdiff.text.document import Document, Gap

_CONTEXT = 3
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")

Block = tuple[list[bytes], list[bytes]]
"""Lines before and after: one and the same line, or lines that changed together."""


def unified_diff(document: Document, texts: Sequence[str | None], name: str) -> bytes:
    """The diff that turns the document's source into the document filled with the texts; empty if they are the same.

    None leaves a gap open; see `Document.written`. Diffs of several documents, one after the other, are a patch too:
    `patch -p0` applies it in the folder to which their names are relative.
    """
    blocks = [*_blocks(_pairs(document, texts))]
    hunks = _hunks([i for i, (old, new) in enumerate(blocks) if old != new], len(blocks))
    if not hunks:
        return b""
    before = [0, *accumulate(len(old) for old, _ in blocks)]
    after = [0, *accumulate(len(new) for _, new in blocks)]
    label = _label(name)
    parts = [b"--- " + label + b"\n+++ " + label + b"\n"]
    for start, stop in hunks:
        old, new = _range(before[start], before[stop]), _range(after[start], after[stop])
        parts.append(f"@@ -{old} +{new} @@\n".encode())
        parts.extend(_marked(block) for block in blocks[start:stop])
    return b"".join(parts)


def _pairs(document: Document, texts: Sequence[str | None]) -> Iterator[tuple[bytes, bytes]]:
    """The source in pieces, each with what becomes of it."""
    for part, text in document.written(texts):
        if isinstance(part, Gap) or text == part.markup:
            yield part.markup.encode(), text.encode()
        else:  # an escaped literal loses its backslash; no line is won or lost by that
            lines = (_LINES.findall(value.encode()) for value in (part.markup, text))
            yield from zip_longest(*lines, fillvalue=b"")


def _blocks(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Block]:
    """Cuts at the line ends that both sides share."""
    old: list[bytes] = []
    new: list[bytes] = []
    for before, after in pairs:
        if before != after:
            old.append(before)
            new.append(after)
            if not (before.endswith(b"\n") and after.endswith(b"\n")):
                continue
            yield _lines(old), _lines(new)
            old, new = [], []
            continue
        for line in _LINES.findall(before):
            old.append(line)
            new.append(line)
            if line.endswith(b"\n"):
                yield _lines(old), _lines(new)
                old, new = [], []
    if old or new:
        yield _lines(old), _lines(new)


def _lines(pieces: list[bytes]) -> list[bytes]:
    return _LINES.findall(b"".join(pieces))


def _hunks(changed: Iterable[int], count: int) -> list[tuple[int, int]]:
    """Ranges of blocks around the changed ones; those that touch are one."""
    hunks: list[tuple[int, int]] = []
    for i in changed:
        start, stop = max(0, i - _CONTEXT), min(count, i + _CONTEXT + 1)
        if hunks and start <= hunks[-1][1]:
            start = hunks.pop()[0]
        hunks.append((start, stop))
    return hunks


def _range(start: int, stop: int) -> str:
    """Lines start … stop - 1, counted from 1; an empty range stands for the line before it."""
    return f"{start + 1 if stop > start else start},{stop - start}"


def _marked(block: Block) -> bytes:
    old, new = block
    if old == new:
        return b"".join(_line(b" ", line) for line in old)
    return b"".join([*(_line(b"-", line) for line in old), *(_line(b"+", line) for line in new)])


def _line(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n\\ No newline at end of file\n"


def _label(name: str) -> bytes:
    """The file's name as `patch` reads it: relative where it can be, quoted where it must be."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    raw = str(path).encode(errors="surrogateescape")
    if re.search(rb'[\x00-\x1f\x7f-\xff"\\]|\A | \Z', raw):
        return b'"' + re.sub(rb'[\x00-\x1f\x7f-\xff"\\]', lambda found: b"\\%03o" % found[0][0], raw) + b'"'
    return raw + b"\t" if b" " in raw else raw
