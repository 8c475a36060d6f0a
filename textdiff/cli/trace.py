"""One page of HTML that plays the filling of a document again: no network, and safe whatever the texts say.

The page is complete without its script: the filled document, and what is known of its gaps. The script only sets the text
and the class of elements that are there already.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from textdiff import __version__
from textdiff.cli.recording import Change, Recording, Shown
from textdiff.cli.trace_parts import as_html, document_html, facts_html, gap_html, legend_html
from textdiff.cli.visible import visible
from textdiff.files import atomic_write

if TYPE_CHECKING:
    from textdiff.infiller import InfillResult
    from textdiff.infiller.writing import Progress
    from textdiff.text.document import Document
    from textdiff.text.layout import Layout
    from textdiff.text.tokenizers import Tokenizer

_PROSE = {"", ".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".org", ".adoc"}
"""Endings of documents that are read in a proportional typeface; in others columns and indents matter."""


class Trace:
    """Watches a document being filled, and makes the page."""

    def __init__(self, document: Document, tokenizer: Tokenizer, number: int = 0) -> None:
        """`number`: which one it is of the documents that are filled together."""
        self._document = document
        self._recording = Recording(tokenizer, number)

    def on_progress(self, layout: Layout, progress: Progress) -> None:
        """For `Infiller.infill`."""
        self._recording.on_progress(layout, progress)

    def page(self, result: InfillResult, name: str = "") -> str:
        """The page.

        Args:
            result: what came of it.
            name: what the document is called.
        """
        data = result.document.encode()
        finals = {gap.index: data[gap.start_byte : gap.end_byte].decode() for gap in result.gaps}
        frames = self._recording.play(finals)
        cells = _last_looks(frames)
        pairs = zip(result.gaps, self._document.gaps, strict=True)
        style, script = _resource("trace.css"), _resource("trace.js")
        return _fill(
            _resource("trace.html"),
            policy=_policy(style, script),
            version=as_html(__version__),
            name=as_html(name) or "A filled document",
            style=style,
            facts=facts_html(result),
            legend=legend_html(),
            face="prose" if PurePath(name).suffix.lower() in _PROSE else "code",
            document=document_html(self._document, result.gaps, cells),
            gaps="\n".join(gap_html(fill, gap, finals[fill.index]) for fill, gap in pairs),
            data=_json(frames),
            script=script,
        )


def write_trace(path: str | Path, trace: Trace, result: InfillResult, name: str = "") -> None:
    """Writes the page in one step.

    Raises:
        DataError: the file is read-only or cannot be written.
        ResourceError: the disk is full.
    """
    atomic_write(path, trace.page(result, name).encode())


def _fill(template: str, **values: str) -> str:
    """The template with values for its {{names}}; what looks like one in a value is text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _resource(name: str) -> str:
    return (files("textdiff.cli") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded, and no other style or script may run."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _last_looks(frames: Sequence[Sequence[Change]]) -> dict[int, list[Shown]]:
    """How each position of each gap looks in the end."""
    looks: dict[int, dict[int, Shown]] = {}
    for change in (change for frame in frames for change in frame):
        looks.setdefault(change.gap, {})[change.position] = change.shown
    return {gap: [shown for _, shown in sorted(positions.items())] for gap, positions in looks.items()}


def _json(frames: Sequence[Sequence[Change]]) -> str:
    """The data of the script: lists of [gap, position, look, text, percent], the last two only where they change.

    In ASCII and without letters that HTML knows, so that no text can end the element that holds it.
    """
    before: dict[tuple[int, int], tuple[str, int | None]] = {}
    rows: list[list[list[object]]] = []
    for frame in frames:
        rows.append([])
        for gap, position, shown in frame:
            text = (visible(shown.text).replace("\r", ""), shown.percent)
            new = before.get((gap, position)) != text
            before[gap, position] = text
            rows[-1].append([gap, position, int(shown.look), *(text if new else ())])
    data = json.dumps({"frames": rows}, ensure_ascii=True, separators=(",", ":"))
    return data.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
