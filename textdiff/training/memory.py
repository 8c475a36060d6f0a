"""When memory is not enough for a batch."""

from __future__ import annotations

import torch

from textdiff.text.canvas import Canvas


def wants_memory(error: BaseException) -> bool:
    """Whether this error says that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def halves(canvas: Canvas) -> list[Canvas]:
    """A batch in two parts, or one if it is a single row; cut where `Tensor.tensor_split` cuts."""
    parts = torch.arange(len(canvas.ids)).tensor_split(2)
    return [canvas.rows(part.to(canvas.ids.device)) for part in parts if len(part)]
