"""Many documents or lines: what a run over them is made of."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textdiff.cli.destinations import Destination, InPlace, OneFile, OutputFolder
from textdiff.cli.meter import Meter
from textdiff.cli.output import is_terminal
from textdiff.cli.ranks import Ranks, joined
from textdiff.cli.request import Request
from textdiff.cli.sources import Source, find_sources
from textdiff.cli.tally import Tally
from textdiff.errors import DataError

if TYPE_CHECKING:
    from textdiff.infiller import Infiller


def fill_many(request: Request, options: dict[str, Any], model: str, load: Callable[[], Infiller]) -> None:
    """Fills several documents, files of them or lines, as one of the processes that share the work."""
    from textdiff.cli.batch import DocumentRun, Job, Views

    unit = "document" if request.field is None else "line"
    with joined() as ranks:
        folder = request.output_folder
        sources = ranks.gather(find_sources(request.files, request.patterns, folder))[0]
        token, key = request.token, request.key(options, model)
        job = Job(functools.cache(load), request.document, lambda data: token.find(data, 0) is not None, options, key)
        destination = _destination(request, key, ranks)
        views = Views(request.as_json, request.diff, is_all=destination is None)
        shown = ranks.is_first and not (destination is None and is_terminal(sys.stdout))
        tally = Tally()
        with _going_on(tally, unit, ranks, destination), Meter(_bytes_of(sources), unit, shown) as meter:
            if request.field is not None:
                from textdiff.cli.lines import LineRun

                LineRun(job, request.field, request.skip_errors, destination, views, tally, meter, ranks).run(sources)
            else:
                mine = [source for number, source in enumerate(sources) if ranks.has(number)]
                DocumentRun(job, destination, views, tally, meter).run(mine)
        total = Tally.total(ranks.gather(tally))
        if destination is not None and not total.failed:
            destination.finish()
        if ranks.is_first:
            _conclude(total, unit, request, folder is not None)


def _destination(request: Request, key: str, ranks: Ranks) -> Destination | None:
    if request.in_place:
        return InPlace(ranks.rank)
    if request.output_folder is not None:
        return OutputFolder(request.output_folder, key, ranks.rank, request.overwrite)
    return None if request.output_file is None else OneFile(request.output_file)


def _bytes_of(sources: Sequence[Source]) -> int:
    """Bytes to be read, as far as is known."""
    total = 0
    for source in sources:
        with contextlib.suppress(OSError):
            total += source.path.stat().st_size
    return total


@contextlib.contextmanager
def _going_on(tally: Tally, unit: str, ranks: Ranks, destination: Destination | None) -> Iterator[None]:
    """Says on an interrupt what is there, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if destination is None or not ranks.is_first:
            raise
        raise KeyboardInterrupt(
            f"interrupted; {tally.sentence(unit, True)}. What is filled is kept: the same command goes on from here"
        ) from None


def _conclude(total: Tally, unit: str, request: Request, copied: bool) -> None:
    """Says what came of it; raises a DataError if it was nothing, or something is missing."""
    total.finish(unit, copied)
    if total.untouched == total.documents:
        raise DataError(f"none of the {total.documents:,} {unit}s has a gap to fill. {request.token.syntax}")
