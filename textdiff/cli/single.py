"""One document, from its bytes to what is shown of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.cli.documents import read_input
from textdiff.cli.meter import Meter
from textdiff.cli.output import is_terminal, put, put_json, shows_colours
from textdiff.cli.report import print_diff, report, tell_alternatives, tell_open
from textdiff.cli.request import Request
from textdiff.cli.sources import STDIN
from textdiff.cli.visible import painted_spans
from textdiff.files import atomic_write, require_writable

if TYPE_CHECKING:
    from textdiff.cli.trace import Trace
    from textdiff.infiller import Infiller, InfillResult
    from textdiff.infiller.writing import Progress
    from textdiff.text.document import Document
    from textdiff.text.layout import Layout

_LONG = 40
"""Gaps of a document from which on its progress is shown."""


def fill_one(request: Request, options: dict[str, Any], load: Callable[[], Infiller], delay: float) -> None:
    """Fills one document.

    Args:
        delay: seconds that --watch rests after each picture.
    """
    name = request.files[0]
    source = read_input(name)
    document = request.document(source)
    document.require_gaps()
    target = Path(name) if request.in_place else request.output_file
    if target is not None:
        require_writable(target)
    infiller = load()
    with _watched(request, document, infiller, delay, len(source)) as (watching, trace):
        result = infiller.infill(document, **watching, **options)
    if target is not None:
        atomic_write(target, result.document.encode(), source if request.in_place else None)
    label = "document" if name == STDIN else name
    if trace is not None and request.trace is not None:
        from textdiff.cli.trace import write_trace

        write_trace(request.trace, trace, result, label)
    if request.as_json:
        put_json(report(result))
    elif request.diff:
        print_diff(document, result, label)
    elif target is None:
        _print_document(result)
    if not request.as_json:
        tell_alternatives(result)
    tell_open(result, document, label)


@contextlib.contextmanager
def _watched(
    request: Request, document: Document, infiller: Infiller, delay: float, size: int
) -> Iterator[tuple[dict[str, Any], Trace | None]]:
    """Yields what `Infiller.infill` is given so that somebody looks on, and the trace where one is wanted."""
    watchers: list[Callable[[Layout, Progress], None] | None] = []
    trace = None
    with contextlib.ExitStack() as stack:
        if request.trace is not None:
            from textdiff.cli.trace import Trace

            trace = Trace(document, infiller.tokenizer)
            watchers.append(trace.on_progress)
        if request.watch:
            from textdiff.cli.watch import watch_documents

            watchers.append(stack.enter_context(watch_documents([document], infiller.tokenizer, delay)))
        elif len(document.gaps) >= _LONG:
            watchers.append(stack.enter_context(Meter(size, "document")).working(size, len(document.gaps)))
        if any(watchers):
            from textdiff.cli.watch import together

            yield {"on_progress": together(*watchers)}, trace
        else:
            yield {}, trace


def _print_document(result: InfillResult) -> None:
    data = result.document.encode()
    if is_terminal(sys.stdout):
        spans = [(gap.start_byte, gap.end_byte) for gap in result.gaps if not gap.open]
        shown = painted_spans(data, spans, shows_colours(sys.stdout))
        put(shown if shown.endswith("\n") else shown + "\n")
    else:
        put(data)
