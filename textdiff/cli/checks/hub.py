"""Whether the hub may be asked, by other commands: no check asks it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from textdiff.cli.checks.finding import Asked, Finding, ok

_FLAGS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT")


def check_hub(asked: Asked) -> Iterator[Finding]:
    """What the environment says about the hub."""
    said = [f"{name}={os.environ[name]}" for name in _FLAGS if os.environ.get(name)]
    flags = f" ({', '.join(said)})" if said else ""
    if asked.offline:
        yield ok("hub", f"offline{flags}; local models only")
    else:
        yield ok("hub", f"online{flags}; asked only for models named owner/model")


def is_offline() -> bool:
    """Whether the environment forbids the hub, as the library reads it."""
    try:
        from huggingface_hub import constants
    except Exception:  # said by the check of versions; without the library nobody asks the hub
        return True
    return bool(constants.HF_HUB_OFFLINE)


@contextlib.contextmanager
def without_hub() -> Iterator[None]:
    """Nobody asks the hub inside the `with`, whatever the environment says."""
    try:
        from huggingface_hub import constants
    except Exception:  # as above
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
