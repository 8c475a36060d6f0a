"""Where filled documents go: into a folder, back into their files, or into one file."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from textdiff.cli.journal import Journal
from textdiff.cli.sources import Source
from textdiff.errors import DataError
from textdiff.files import atomic_file, require_writable, sha256_of, system_words, unusable


class Destination(ABC):
    """A place that filled documents are written to, each in one step."""

    @abstractmethod
    def target(self, source: Source) -> Path:
        """The file that is written."""

    @abstractmethod
    def wants(self, source: Source, digest: str) -> bool:
        """Whether a document is still to be written.

        Args:
            digest: sha256 of its source.

        Raises:
            DataError: it may not be written.
        """

    @abstractmethod
    @contextlib.contextmanager
    def opened(self, source: Source, digest: str, output: str) -> Iterator[BinaryIO]:
        """Yields a file to write it to, which takes its place when the block ends.

        Args:
            digest, output: sha256 of the source and of what will be written.

        Raises:
            DataError: it cannot be written.
            ResourceError: the disk is full.
        """

    def finish(self) -> None:
        """Called once all processes have written everything, and no document failed."""
        return

    def put(self, source: Source, digest: str, data: bytes) -> None:
        """Writes a whole document; raises what `opened` raises."""
        with self.opened(source, digest, hashlib.sha256(data).hexdigest()) as file:
            file.write(data)


class OneFile(Destination):
    """A single file, replaced whatever it holds."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def target(self, source: Source) -> Path:
        return self._path

    def wants(self, source: Source, digest: str) -> bool:
        require_writable(self._path)
        return True

    @contextlib.contextmanager
    def opened(self, source: Source, digest: str, output: str) -> Iterator[BinaryIO]:
        with atomic_file(self._path) as file:
            yield file


class OutputFolder(Destination):
    """A folder in which each document has the place that it has in its own.

    What is there is replaced if it is known to be from here, and is redone if the source, the options or the model
    changed.
    """

    def __init__(self, folder: Path, key: str, rank: int, overwrite: bool) -> None:
        """Makes the folder.

        Args:
            key: stands for the options and the model.

        Raises:
            DataError: it cannot be made or read.
        """
        if problem := unusable(folder):
            raise DataError(f"{folder} cannot be made a folder: {problem}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder} cannot be made a folder: {system_words(error)}") from None
        self._folder, self._key, self._overwrite = folder, key, overwrite
        self._journal = Journal(folder, rank)

    def target(self, source: Source) -> Path:
        return self._folder / source.place

    def wants(self, source: Source, digest: str) -> bool:
        target = self.target(source)
        if not target.exists():
            return True
        found = sha256_of(target) if target.is_file() else ""
        if self._journal.is_done(source.place, self._key_of(digest), found):
            return False
        if not (self._overwrite or self._journal.is_ours(source.place, found)):
            raise DataError(f"{target} is there already and not from an earlier run; --overwrite replaces it")
        require_writable(target)
        return True

    @contextlib.contextmanager
    def opened(self, source: Source, digest: str, output: str) -> Iterator[BinaryIO]:
        target = self.target(source)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = source.path.stat().st_mode & 0o777
        except OSError as error:
            raise DataError(f"{target} cannot be written: {system_words(error)}") from None
        with atomic_file(target, mode=mode) as file:
            yield file
            self._journal.note(source.place, self._key_of(digest), output)

    def _key_of(self, digest: str) -> str:
        return hashlib.sha256(f"{self._key} {digest}".encode()).hexdigest()


class InPlace(Destination):
    """The documents' own files.

    Until all are done a journal tells which are: a filled document may still hold what looks like a gap.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._journals: dict[Path, Journal] = {}

    def target(self, source: Source) -> Path:
        return source.path

    def wants(self, source: Source, digest: str) -> bool:
        if self._journal(source).is_ours(source.place, digest):
            return False
        require_writable(source.path)
        return True

    @contextlib.contextmanager
    def opened(self, source: Source, digest: str, output: str) -> Iterator[BinaryIO]:
        with atomic_file(source.path, original=digest) as file:
            yield file
            self._journal(source).note(source.place, digest, output)

    def finish(self) -> None:
        for journal in self._journals.values():
            journal.remove()

    def _journal(self, source: Source) -> Journal:
        if source.root not in self._journals:
            self._journals[source.root] = Journal(source.root, self._rank)
        return self._journals[source.root]
