"""Token ids in a `.npy` file that is written as they come, and read without being loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from textdiff.errors import DataError

HEADER_BYTES = 128
_MAGIC = b"\x93NUMPY\x01\x00"


class TokenWriter:
    """Appends ids to a file: 16 bits each if the vocabulary allows, else 32.

    Attributes:
        tokens: how many were written.
        sha256: of the ids as 32-bit little-endian integers, whatever their size in the file.
    """

    def __init__(self, path: Path, vocabulary_size: int) -> None:
        self._dtype = np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<i4")
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.tokens = 0

    def __enter__(self) -> TokenWriter:
        self._file.write(self._header())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._file.write(self._header())
        finally:
            self._file.close()

    def write(self, ids: npt.NDArray[np.int32]) -> None:
        """Appends some ids, [N]."""
        plain = np.ascontiguousarray(ids, dtype="<i4")
        self._digest.update(plain.data)
        self._file.write(np.ascontiguousarray(plain, dtype=self._dtype).data)
        self.tokens += len(ids)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _header(self) -> bytes:
        """That of numpy's format 1.0, of one size whatever the number of tokens."""
        shape = f"{{'descr': '{self._dtype.str}', 'fortran_order': False, 'shape': ({self.tokens},), }}"
        size = HEADER_BYTES - len(_MAGIC) - 2
        return _MAGIC + size.to_bytes(2, "little") + shape.ljust(size - 1).encode() + b"\n"


def map_tokens(path: Path, tokens: int) -> npt.NDArray[Any]:
    """The ids of a file, [tokens], which the system reads as they are needed.

    Raises:
        DataError: the file is missing or holds something else.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} is an archive of arrays; prepare it again")
    if found.shape != (tokens,) or found.dtype.str not in ("<u2", "<i4"):
        raise DataError(
            f"{path} holds {found.shape} of {found.dtype}, and {tokens:,} tokens were expected; prepare it again"
        )
    return np.asarray(found)  # a plain array over the same pages: slices of a memmap are slow objects
