"""Models for commands, without the noise that libraries make."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from textdiff.cli.output import is_terminal

if TYPE_CHECKING:
    from textdiff.infiller import Infiller


def hush() -> None:
    """Switches the progress bars and notices of transformers off; those of downloads stay on a terminal."""
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if is_terminal(sys.stderr):
        enable_progress_bars()


def load_infiller(model: str) -> Infiller:
    """`textdiff.load`, quietly."""
    hush()
    from textdiff.infiller import load

    return load(model)
