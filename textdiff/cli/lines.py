"""Files of JSON lines: one field of each line is a document.

A file is filled in stretches of lines, each kept under a name made of its content, so that a run that was killed goes
on, any number of processes can share the work, and the lines come out in their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textdiff.cli.batch import Job, Views, chunks
from textdiff.cli.destinations import Destination, OneFile
from textdiff.cli.jsonl import Line, Numbered, is_blank, read_lines, size_of
from textdiff.cli.meter import Meter
from textdiff.cli.output import put
from textdiff.cli.parts import Parts, copy_all, digest_of
from textdiff.cli.ranks import Ranks
from textdiff.cli.report import tell_open, texts_of
from textdiff.cli.sources import Source
from textdiff.cli.tally import Tally
from textdiff.errors import DataError
from textdiff.files import require_writable, sha256_of, system_words
from textdiff.text.document import Document


@dataclass(frozen=True)
class LineRun:
    """Fills files of JSON lines. Without a destination the lines go to stdout, unless reports go there."""

    job: Job
    field: str
    skip_errors: bool
    destination: Destination | None
    views: Views
    tally: Tally
    meter: Meter
    ranks: Ranks

    def run(self, sources: Iterable[Source]) -> None:
        """Fills all of them; what cannot be filled is in the tally. All processes come through here together."""
        for source in sources:
            try:
                if self.destination is None:
                    self._stream(source, put)
                elif not source.is_regular:
                    self._stream_to_file(source, self.destination)
                else:
                    self._store(source, self.destination)
            except DataError as error:
                if not source.is_regular or not (self.destination or self.views.only_reports):
                    raise
                self._blame(source, error)

    def _stream(self, source: Source, write: Callable[[bytes], object]) -> None:
        """Fills a file to where nothing can be taken back: a wrong line ends it, unless only reports are wanted."""
        for stretch in chunks(read_lines(source), size_of):
            data = self._filled(source, stretch)
            if data is None and not self.views.only_reports:
                raise DataError(self.tally.problems[0])
            if data is not None and not self.views.only_reports:
                write(data)

    def _stream_to_file(self, source: Source, destination: Destination) -> None:
        """What comes through a pipe can be read only once: there is no going on later."""
        if not isinstance(destination, OneFile) or self.ranks.world > 1:
            raise DataError(f"{source.name} cannot be read twice: it can be filled by one process, to a file")
        with destination.opened(source, "", "") as file:
            self._stream(source, file.write)

    def _store(self, source: Source, destination: Destination) -> None:
        """Fills a file together with the other processes; the first of them puts it where it belongs."""
        parts = Parts(destination.target(source), self.skip_errors)
        share = self._share(source, parts, destination)
        shares = self.ranks.gather(share)
        if not self.ranks.is_first:
            return
        for problem in dict.fromkeys(share.problem for share in shares if share.problem):
            self._blame(source, DataError(problem))
        if all(share.is_whole for share in shares):
            paths = parts.whole(share.names)
            with destination.opened(source, share.digest, digest_of(paths)) as file:
                copy_all(paths, file)
            parts.remove()

    def _share(self, source: Source, parts: Parts, destination: Destination) -> _Share:
        """Does this process's share of a file."""
        try:
            digest = sha256_of(source.path)
            if not destination.wants(source, digest):
                if self.ranks.is_first:
                    self.tally.done += sum(not is_blank(line) for line in read_lines(source))
                return _Share()
            require_writable(destination.target(source))
            names = self._fill(source, parts)
            return _Share(names is not None, digest, names or [])
        except DataError as error:
            return _Share(problem=str(error))
        except OSError as error:
            return _Share(problem=f"it cannot be read: {system_words(error)}")

    def _blame(self, source: Source, error: DataError) -> None:
        """Puts down to a whole file what cannot be done with it."""
        self.tally.fail(source.name, error)
        self.views.fail(error, source.name)

    def _fill(self, source: Source, parts: Parts) -> list[str] | None:
        """Fills this process's stretches, and names all of them; None if a line is wrong."""
        names, is_whole = [], True
        for number, stretch in enumerate(chunks(read_lines(source), size_of)):
            content = hashlib.sha256(b"".join(data for _, data in stretch)).hexdigest()
            names.append(hashlib.sha256(f"{self.job.key} {content}".encode()).hexdigest())
            if not self.ranks.has(number):
                self.meter.advance(sum(map(size_of, stretch)))
            elif parts.find(names[-1]) is not None:
                self.tally.done += sum(not is_blank(line) for line in stretch)
                self.meter.advance(sum(map(size_of, stretch)), len(stretch))
            else:
                before = self.tally.skipped
                data = self._filled(source, stretch)
                is_whole = is_whole and data is not None
                if data is not None:
                    parts.write(names[-1], data, self.tally.skipped > before)
        return names if is_whole else None

    def _filled(self, source: Source, stretch: Sequence[Numbered]) -> bytes | None:
        """The filled lines; None if one is wrong."""
        read = {number: self._parse(data) for number, data in stretch if not is_blank((number, data))}
        documents = [found[1] for found in read.values() if not isinstance(found, DataError)]
        size = sum(map(size_of, stretch))
        results = iter(self.job.fill(documents, self.meter, size))
        written: list[bytes] = []
        failed = self.tally.failed
        for number, data in stretch:
            found = read.get(number)
            outcome = found if found is None or isinstance(found, DataError) else next(results)
            name = f"{source.name}:{number}"
            if isinstance(found, DataError) or isinstance(outcome, DataError):
                self._refuse(outcome, source, number)
            elif found is not None and outcome is not None:
                line, document = found
                data = line.fill(document, texts_of(outcome))
                self.tally.filled += 1
                self.tally.gaps += len(outcome.gaps)
                self.tally.left_open += tell_open(outcome, document, name)
                self.views.show(document, outcome, source.name, line=number)
            written.append(data)
        self.meter.advance(size, len(stretch), sum(len(document.gaps) for document in documents))
        return b"".join(written) if self.tally.failed == failed else None

    def _parse(self, data: bytes) -> tuple[Line, Document] | DataError:
        try:
            line = Line.parse(data, self.field)
        except DataError as error:
            return error
        try:
            document = self.job.parse(line.text.encode())
            document.require_gaps()
        except DataError as error:
            return DataError(f"in the field {self.field!r}: {error}")
        return line, document

    def _refuse(self, error: object, source: Source, number: int) -> None:
        problem = DataError(str(error))
        if self.skip_errors:
            self.tally.skipped += 1
        else:
            self.tally.fail(f"{source.name}:{number}", problem)
        self.views.fail(problem, source.name, line=number)


@dataclass(frozen=True)
class _Share:
    """What a process did for a file.

    Attributes:
        is_whole: whether its stretches are all there.
        digest: sha256 of the file.
        names: of all its stretches, in order.
        problem: why nothing could be done.
    """

    is_whole: bool = False
    digest: str = ""
    names: Sequence[str] = ()
    problem: str | None = None
