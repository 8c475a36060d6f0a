"""Which files a command line names: files, and folders with patterns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textdiff.errors import DataError, UsageError
from textdiff.files import system_words

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """A file to fill.

    Attributes:
        root: the folder that was named, or that of the file that was.
        place: where it is in there, and where its filled form is in an output folder; "-" is standard input.
        found: whether it was found in a folder, rather than named.
    """

    root: Path
    place: str
    found: bool = False

    @property
    def path(self) -> Path:
        return self.root / self.place

    @property
    def is_regular(self) -> bool:
        """Whether it is a file that can be read again; a missing one may yet become so."""
        return self.place != STDIN and (self.path.is_file() or not self.path.exists())

    @property
    def name(self) -> str:
        """What messages and reports call it."""
        return "standard input" if self.place == STDIN else str(self.path)


def find_sources(names: Sequence[str], patterns: Sequence[str], output: Path | None) -> list[Source]:
    """The files, folders in the order of their names; a file that is named twice is there once.

    Args:
        names: files and folders, or "-".
        patterns: what files of the folders are called, all by default: `*.md` at any depth, `docs/**/*.md` from the
            folder on. Hidden files and folders are left out.
        output: a folder whose files are none of ours, or None where files are replaced.

    Raises:
        UsageError: a pattern is wrong, or two files would have the same place in the output folder.
        DataError: there is no such file or folder, or nothing matches.
    """
    listed: dict[tuple[str, str], Source] = {}
    for name in names:
        for source in _of_name(name, patterns, output):
            real = os.path.realpath(source.path)
            listed.setdefault((real, source.place if output else ""), source)
    sources = [*listed.values()]
    if output is not None:
        _require_places(sources, output)
    return sources


def _of_name(name: str, patterns: Sequence[str], output: Path | None) -> list[Source]:
    path = Path(name)
    if name == STDIN or not path.is_dir():
        return [Source(path.parent, path.name)]
    try:
        places = sorted({*_places(path, patterns, output)})
    except OSError as error:
        raise DataError(f"{name} cannot be read: {system_words(error)}") from None
    if not places:
        wanted = f" called {' or '.join(patterns)}" if patterns else ""
        raise DataError(f"{name} has no file{wanted} that is not hidden")
    return [Source(path, place, found=True) for place in places]


def _places(folder: Path, patterns: Sequence[str], output: Path | None) -> Iterator[str]:
    inside = os.path.relpath(os.path.realpath(output), os.path.realpath(folder)) if output else ".."
    for pattern in patterns or ("*",):
        for file in _matching(folder, pattern):
            place = file.relative_to(folder)
            ours = inside != "." and place.is_relative_to(inside)
            if file.is_file() and not ours and not any(part.startswith(".") for part in place.parts):
                yield place.as_posix()


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    parts = Path(pattern).parts
    if not parts or ".." in parts or Path(pattern).is_absolute() or "\0" in pattern:
        raise UsageError(f"a pattern stays in its folder, as *.md and docs/**/*.md do, got {pattern!r}")
    try:
        yield from folder.rglob(pattern) if len(parts) == 1 else folder.glob(pattern)
    except ValueError:  # such as "**.md"
        raise UsageError(f"{pattern!r} is not a pattern: ** stands for whole folders, as in docs/**/*.md") from None
    except RecursionError:
        raise UsageError(f"{pattern[:40]!r}… is too deep for a pattern") from None


def _require_places(sources: Sequence[Source], output: Path) -> None:
    folder = Path(os.path.realpath(output))
    taken: dict[str, Source] = {}
    for source in sources:
        other = taken.setdefault(source.place, source)
        if other is not source:
            raise UsageError(
                f"{other.name} and {source.name} would both be written to {source.place} in the output folder: "
                "name the folder that holds them, or fill them in two runs"
            )
        if (folder / source.place) == Path(os.path.realpath(source.path)):
            raise UsageError(f"{source.name} would be written over itself: --in-place is for that")
