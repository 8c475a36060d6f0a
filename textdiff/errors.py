"""Everything that a user can cause, each with its exit code.

Exit codes: 0 ok, 1 bug, 2 usage, 3 configuration, 4 input data, 5 model or checkpoint, 6 resources,
7 training became non-finite, 8 a verification failed, 75 preempted after a good checkpoint, 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class TextdiffError(Exception):
    """Base of every error that textdiff raises on purpose. Its text is one sentence for a person."""

    exit_code: ClassVar[int] = 1


class UsageError(TextdiffError):
    """An argument of a command or a call is out of its range."""

    exit_code = 2


class ConfigError(TextdiffError):
    """A recipe, an override or a component's options are wrong."""

    exit_code = 3


class DataError(TextdiffError):
    """A document or a corpus cannot be used as it is."""

    exit_code = 4


class CheckpointError(TextdiffError):
    """A model or a checkpoint is missing, damaged or not of a kind that textdiff can use."""

    exit_code = 5


class ResourceError(TextdiffError):
    """Memory, disk or a device is not enough."""

    exit_code = 6


class NonFiniteError(TextdiffError):
    """Training became non-finite and stopped at its last good state."""

    exit_code = 7


class PreemptedError(TextdiffError):
    """The process was asked to end; a good state was written first, and the same command goes on from it."""

    exit_code = 75


class VerificationError(TextdiffError):
    """A verification that the user asked for failed."""

    exit_code = 8


def wants_memory(error: BaseException) -> bool:
    """Whether this error, of Python or of torch, says that memory ran out."""
    words = str(error)
    in_words = any(sign in words for sign in ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED"))
    in_words = in_words or words.endswith("could not create a primitive")  # oneDNN, on CPUs
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or in_words


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the known word nearest to ``word``, or an empty string."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
