"""One page of HTML that plays the filling of a document again: no network, and safe whatever the texts say.

The page is complete without its script: the filled document, and what is known of its gaps. The script only sets the text
and the class of elements that are there already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from textdiff import __version__
from textdiff.cli.pages import fill_page, policy, resource
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
        style, script = resource("trace.css"), resource("trace.js")
        return fill_page(
            resource("trace.html"),
            policy=policy(style, script),
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
