"""Many documents: streamed through in chunks, so that memory does not grow, each written as soon as it is filled.

What is wrong with one document is kept for the end and costs no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from textdiff.cli.destinations import Destination, OutputFolder
from textdiff.cli.documents import LARGEST
from textdiff.cli.meter import Meter
from textdiff.cli.output import drop_output, put_json
from textdiff.cli.report import failure, print_diff, report, tell_open
from textdiff.cli.sources import Source
from textdiff.cli.tally import Tally
from textdiff.errors import DataError
from textdiff.files import read_bytes, require_writable

if TYPE_CHECKING:
    from textdiff.infiller import Infiller, InfillResult
    from textdiff.text.document import Document

T = TypeVar("T")

CHUNK_DOCUMENTS, CHUNK_BYTES = 64, 4 << 20
"""A chunk is full with so many documents, or so many bytes: as much is to be done again if a run is killed."""


@dataclass(frozen=True)
class Job:
    """How documents are read and filled.

    Attributes:
        load: gives the model, which is loaded the first time.
        parse: reads a document; raises a DataError.
        has_mark: whether bytes hold what could be a gap.
        options: of `Infiller.infill`.
        key: stands for model and options in a run that goes on later.
    """

    load: Callable[[], Infiller]
    parse: Callable[[bytes], Document]
    has_mark: Callable[[bytes], bool]
    options: Mapping[str, Any]
    key: str

    def fill(self, documents: Sequence[Document], meter: Meter, size: int) -> list[InfillResult | DataError]:
        """Each document's result, or what is wrong with it.

        Args:
            size: bytes of the documents.
        """
        if not documents:
            return []
        watch = meter.working(size, sum(len(document.gaps) for document in documents))
        try:
            return [*self.load().infill([*documents], **self.options, **({"on_progress": watch} if watch else {}))]
        except DataError as error:
            if len(documents) == 1:
                return [error]
        # results do not depend on what else is in the call: halves find whose error it is
        half = len(documents) // 2
        return [*self.fill(documents[:half], meter, size // 2), *self.fill(documents[half:], meter, size - size // 2)]


class Views:
    """What is printed of filled documents."""

    def __init__(self, as_json: bool = False, diff: bool = False, is_all: bool = True) -> None:
        """`is_all`: whether documents go nowhere else, so that a reader who leaves ends the run."""
        self._as_json, self._diff, self._is_all = as_json, diff, is_all

    @property
    def only_reports(self) -> bool:
        """Whether reports are printed, and documents go nowhere."""
        return self._as_json and self._is_all

    def show(self, document: Document, result: InfillResult, name: str, **place: object) -> None:
        if self._as_json:
            self._print(lambda: put_json(report(result, path=name, **place)))
        elif self._diff:
            self._print(lambda: print_diff(document, result, name))

    def fail(self, error: DataError, name: str, **place: object) -> None:
        if self._as_json:
            self._print(lambda: put_json(failure(error, path=name, **place)))

    def _print(self, show: Callable[[], None]) -> None:
        try:
            show()
        except BrokenPipeError:
            if self._is_all:
                raise
            drop_output()
            self._as_json = self._diff = False


@dataclass(frozen=True)
class _Task:
    """A document to fill, or what is wrong with it."""

    source: Source
    size: int
    digest: str
    document: Document | DataError


@dataclass(frozen=True)
class DocumentRun:
    """Fills files, each of which is a document."""

    job: Job
    destination: Destination | None
    views: Views
    tally: Tally
    meter: Meter

    def run(self, sources: Iterable[Source]) -> None:
        """Fills all of them; what cannot be filled is in the tally."""
        for chunk in chunks(self._tasks(sources), lambda task: task.size):
            documents = [task.document for task in chunk if not isinstance(task.document, DataError)]
            size = sum(task.size for task in chunk)
            results = iter(self.job.fill(documents, self.meter, size))
            for task in chunk:
                self._deliver(task, task.document if isinstance(task.document, DataError) else next(results))
            self.meter.advance(size, len(chunk), sum(len(document.gaps) for document in documents))

    def _tasks(self, sources: Iterable[Source]) -> Iterator[_Task]:
        for source in sources:
            try:
                task = self._open(source)
            except DataError as error:
                task = _Task(source, 0, "", error)
            if task is not None:
                yield task

    def _open(self, source: Source) -> _Task | None:
        """Reads a document; None if nothing is to be filled."""
        data = read_bytes(source.path, LARGEST, DataError)
        digest = hashlib.sha256(data).hexdigest()
        if self.destination is not None and not self.destination.wants(source, digest):
            self.tally.done += 1
        elif (document := self._parse(source, data)) is None:
            self._pass_on(source, digest, data)
        else:
            if self.destination is not None:
                require_writable(self.destination.target(source))
            return _Task(source, len(data), digest, document)
        self.meter.advance(len(data), 1)
        return None

    def _parse(self, source: Source, data: bytes) -> Document | None:
        """The document if it has a gap. What was found in a folder and has no mark need not be text."""
        if source.found and not self.job.has_mark(data):
            return None
        document = self.job.parse(data)
        return document if document.gaps else None

    def _pass_on(self, source: Source, digest: str, data: bytes) -> None:
        """A document without a gap is there in an output folder too, as it is."""
        if isinstance(self.destination, OutputFolder):
            self.destination.put(source, digest, data)
        self.tally.untouched += 1

    def _deliver(self, task: _Task, outcome: InfillResult | DataError) -> None:
        name = task.source.name
        if isinstance(outcome, DataError) or isinstance(task.document, DataError):
            self._fail(name, outcome)
            return
        if self.destination is not None:
            try:
                self.destination.put(task.source, task.digest, outcome.document.encode())
            except DataError as error:
                self._fail(name, error)
                return
        self.tally.filled += 1
        self.tally.gaps += len(outcome.gaps)
        self.tally.left_open += tell_open(outcome, task.document, name)
        self.views.show(task.document, outcome, name)

    def _fail(self, name: str, error: Any) -> None:
        self.tally.fail(name, error)
        self.views.fail(error, name)


def chunks(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Groups what comes one after the other; each is full with `CHUNK_DOCUMENTS` or `CHUNK_BYTES`."""
    chunk: list[T] = []
    total = 0
    for item in items:
        chunk.append(item)
        total += size(item)
        if len(chunk) >= CHUNK_DOCUMENTS or total >= CHUNK_BYTES:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
