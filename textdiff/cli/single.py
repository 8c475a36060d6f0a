"""One document, from its bytes to what is shown of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textdiff.cli.documents import read_input
from textdiff.cli.meter import Meter
from textdiff.cli.output import is_terminal, put, put_json, say, shows_colours
from textdiff.cli.report import print_diff, report, tell_alternatives, tell_open
from textdiff.cli.request import Request
from textdiff.cli.sources import STDIN
from textdiff.cli.unfinished import Unfinished
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


def fill_one(request: Request, options: dict[str, Any], model: str, load: Callable[[], Infiller], delay: float) -> None:
    """Fills one document.

    Args:
        model: its name.
        load: loads it.
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
    from textdiff.infiller.parts import AT_A_TIME

    unfinished = None
    if target is not None and len(document.gaps) > AT_A_TIME:  # else there is nothing to keep before all is filled
        facts = [request.key(options, model), options["score"], [*map(asdict, document.gaps)]]
        unfinished = Unfinished(target, _digest(source, facts))
    with _watched(request, document, infiller, delay, len(source)) as (watching, trace), _going_on(unfinished):
        result = infiller.infill(document, **watching, **options, memory=unfinished)
    if target is not None:
        atomic_write(target, result.document.encode(), source if request.in_place else None)
    if unfinished is not None:
        unfinished.remove()
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


def _digest(source: bytes, facts: Sequence[Any]) -> str:
    """Stands for a document, its gaps and everything else that its fills depend on."""
    return hashlib.sha256(source + json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def _going_on(unfinished: Unfinished | None) -> Iterator[None]:
    """Says what an earlier run has filled, and on an interrupt how to go on."""
    if unfinished is not None and unfinished.recalled:
        say(f"an earlier run has filled {unfinished.recalled:,} gaps: going on from there")
    try:
        yield
    except KeyboardInterrupt:
        if unfinished is None:
            raise
        raise KeyboardInterrupt(
            "interrupted. What is filled is kept beside the output: the same command goes on from here"
        ) from None


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
