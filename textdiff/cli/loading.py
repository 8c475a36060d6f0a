"""Models for commands, without the noise that libraries make."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textdiff.backbones.precision import Precision
    from textdiff.infiller import Infiller


def hush() -> None:
    """Switches the notices of transformers off: what matters in them is said by our own errors."""
    from transformers.utils import logging

    logging.set_verbosity_error()


def load_infiller(
    model: str, device: str | None = None, dtype: Precision = "float32", graphs: bool = False
) -> Infiller:
    """`textdiff.load`, quietly."""
    hush()
    from textdiff.infiller import load

    return load(model, device, dtype, graphs)


def fingerprint(model: str) -> str:
    """`textdiff.infiller.fingerprint`, without torch before it is needed."""
    from textdiff import infiller

    return infiller.fingerprint(model)
