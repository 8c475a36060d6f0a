"""Opens a file as a stream of UTF-8, whatever it was packed or encoded as."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import lzma
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textdiff.corpus.events import Problem, UnreadableError
from textdiff.corpus.guessing import archive_of, guess_encoding
from textdiff.corpus.options import check_encoding
from textdiff.files import CountedFile, unusable

BLOCK = 1 << 20
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
_BEFORE = 4096


@dataclass
class Opened:
    """An open file.

    Attributes:
        name: what messages call it.
        file: its text as UTF-8 bytes, without a byte order mark.
        bom: the bytes of the mark that were passed over.
        head: its first bytes, for guesses.
    """

    name: str
    file: Any
    bom: int
    head: bytes


@contextlib.contextmanager
def open_utf8(path: Path, encoding: str, on_bytes: Callable[[int], None] = lambda size: None) -> Iterator[Opened]:
    """Yields a file's text as UTF-8 bytes. That they are UTF-8 is checked by whoever reads them.

    Args:
        path: the file.
        encoding: of its text.
        on_bytes: called with the number of bytes whenever some are read, packed ones as they are.

    Raises:
        UnreadableError: it is an archive whose name does not say so; while reading: it is not in the `encoding`.
    """
    with contextlib.ExitStack() as opened:
        file: Any = opened.enter_context(io.BufferedReader(CountedFile(path, on_bytes)))
        if path.suffix in _OPENERS:
            file = opened.enter_context(_OPENERS[path.suffix](file))
        head = file.peek(1 << 16)[: 1 << 16]
        archive = archive_of(head)
        if archive:
            name, advice = archive
            raise UnreadableError("packed", f"{path} is {name} although its name does not say so{advice}")
        name = check_encoding(encoding)
        if name == "utf-8":
            bom = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
            file.read(bom)
            yield Opened(str(path), file, bom, head)
        else:
            yield Opened(str(path), io.BufferedReader(_Transcoded(file, name, str(path)), BLOCK), 0, head)


class _Transcoded(io.RawIOBase):
    """Bytes of some encoding as bytes of UTF-8."""

    def __init__(self, file: Any, encoding: str, name: str) -> None:
        self._file, self._encoding, self._name = file, encoding, name
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._offset, self._ready, self._begun, self._ended = 0, b"", False, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            self._ready = self._next()
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _next(self) -> bytes:
        data = self._file.read(BLOCK // 4)
        pending = self._decoder.getstate()[0]
        self._ended = not data
        try:
            text = self._decoder.decode(data, final=self._ended)
            if not self._begun and text:
                text, self._begun = text.removeprefix("\ufeff"), True
            self._offset += len(data)
            return text.encode()
        except UnicodeError as error:
            start = getattr(error, "start", 0) if isinstance(error, UnicodeDecodeError) else 0
            offset = self._offset - len(pending) + start
            raise UnreadableError(
                "encoding",
                f"{self._name} is not {self._encoding}: {getattr(error, 'reason', error)} at offset {offset}; "
                "give its true encoding, or convert the file to UTF-8",
            ) from None


def not_utf8(opened: Opened, data: bytes, at: int, offset: int, line: int, of_row: bool = False) -> Problem:
    """What to say of a byte that is no UTF-8.

    Args:
        data, at: some bytes, and the wrong one's place in them.
        offset, line: the wrong byte's place in the file.
    """
    # what came before tells as much as what follows; a byte order mark at the start tells everything
    sample = opened.head if offset < len(opened.head) else data[max(0, at - _BEFORE) : at + _BEFORE]
    guess = guess_encoding(sample)
    hint = f"it may be {guess}: convert" if guess else "it does not look like text; if it is, convert"
    option = f", or give its encoding (--encoding {guess}, or data.encoding in a recipe)" if guess else ""
    what = f"byte {data[at]:#04x} at offset {offset} (line {line})"
    message = f"{opened.name} is not UTF-8: {what}; {hint} it to UTF-8{option}"
    return Problem("encoding", message, of_row=of_row)


def require_file(path: Path) -> None:
    """Raises UnreadableError, with a sentence for each case, where there is no file to read."""
    if problem := unusable(path):
        raise UnreadableError("missing", f"{path} cannot be read: {problem}")
    if path.is_file():
        return
    if path.is_dir():
        raise UnreadableError("folder", f"{path} is a folder; {_files_in(path)}")
    if any(sign in path.name for sign in "*?["):
        raise UnreadableError(
            "missing", f"{path} matches no file; a pattern is expanded by the shell, so leave out the quotes"
        )
    what = "is not a regular file" if path.exists() else "is missing"
    raise UnreadableError("missing", f"{path} {what}; give text files, or .jsonl, .csv or .parquet tables")


def _files_in(folder: Path) -> str:
    try:
        names = [*folder.iterdir()]
        files = [file for file in names if file.is_file()]
    except OSError:
        return "give the files in it"
    if not files:
        return "there are only folders in it; give files" if names else "there is nothing in it"
    suffixes = Counter(file.suffix for file in files if file.suffix)
    return f"give the files in it, such as {folder}/*{max(suffixes, key=suffixes.__getitem__) if suffixes else ''}"
