"""Loading weights that are all there, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from textdiff.errors import CheckpointError, TextdiffError

_SHOWN = 4  # names in a sentence
_LONGEST = 300  # characters of another's message


def load_weights(
    load: Callable[..., Any], source: str, fresh: Callable[[], PreTrainedModel], **options: Any
) -> tuple[Any, dict[str, Any]]:
    """Calls a `from_pretrained`, for safetensors only, and without running code that comes with the weights.

    Args:
        load: the `from_pretrained`.
        source: a folder, or a name on the hub.
        fresh: makes the same model without its weights.
        options: passed on.

    Returns:
        The model, and what transformers reports of missing and unexpected tensors, for the caller to `refuse`.

    Raises:
        CheckpointError: it cannot be loaded, a tensor has another shape than the configuration says, or is not finite.
    """
    # Shapes that differ are reported and then refused by name: transformers' own error is a table.
    fixed = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    with refusing(f"{source} cannot be loaded"):
        _refuse_oversized(source, fresh)
        model, report = load(source, **options | fixed)
    refuse(source, "other shapes than its config.json says", (name for name, *_ in report["mismatched_keys"]))
    refuse(source, "NaN or infinity", (name for name, p in model.named_parameters() if not p.isfinite().all()))
    return model, report


def refuse(source: str, what: str, tensors: Iterable[str]) -> None:
    """Raises a `CheckpointError` that names the first of these tensors, where there are any."""
    names = sorted(tensors)
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise CheckpointError(f"{source} cannot be used: {what} in {', '.join(names[:_SHOWN])}{more}")


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turns whatever goes wrong inside into a `CheckpointError` of one sentence.

    transformers and the code of its networks raise all kinds of exceptions.
    """
    try:
        yield
    except TextdiffError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = lines[0].rstrip(".")[:_LONGEST] if lines else type(error).__name__
        raise CheckpointError(f"{what}: {reason}") from error


def _refuse_oversized(source: str, fresh: Callable[[], PreTrainedModel]) -> None:
    """A damaged configuration must not have memory allocated for tensors that no file of a folder holds."""
    files = list(Path(source).glob("*.safetensors")) if Path(source).is_dir() else []
    with torch.device("meta"):
        needed = fresh().num_parameters()
    stored = sum(file.stat().st_size for file in files)
    if files and needed > stored:
        raise CheckpointError(
            f"{source} cannot be used: config.json describes {needed:,} numbers, the weights are {stored:,} bytes long"
        )
