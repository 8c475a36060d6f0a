"""stdout carries the product and nothing else; what is said to a person goes to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from textdiff.cli.visible import visible
from textdiff.errors import ResourceError

# Letters that JSON allows as they are, and that a terminal obeys or that reorder what one sees.
_ACTIVE = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def put(product: bytes | str) -> None:
    """Writes to stdout: bytes as they are, text as UTF-8.

    Raises:
        BrokenPipeError: nobody reads any more.
        ResourceError: stdout is closed, or what it leads to is full.
    """
    if sys.stdout is None:
        raise ResourceError("standard output is closed")
    data = product.encode(errors="backslashreplace") if isinstance(product, str) else product
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise ResourceError(f"standard output cannot be written: {(error.strerror or str(error)).lower()}") from None


def put_json(value: Mapping[str, Any]) -> None:
    """Writes one line of JSON; numbers that are not finite become null."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    put(_ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def say(message: str) -> None:
    """One line to a person, on stderr."""
    show(" ".join(visible(message).split()))


def show(text: str) -> None:
    """Lines of our own making to a person, on stderr, as they are."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody listens: the exit code has to do
        return


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at this stream."""
    return stream is not None and stream.isatty()


def shows_colours(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal on which colours are wanted (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def flush_output() -> None:
    """Makes sure that a reader who has gone is noticed here and not at the interpreter's end."""
    if sys.stdout is not None:
        sys.stdout.flush()


def drop_output() -> None:
    """Lets what is still buffered for stdout go nowhere, so that the interpreter's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is no file: nothing is buffered behind our back
        return
    finally:
        os.close(nowhere)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
