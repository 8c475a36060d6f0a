"""In what precision networks work."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from textdiff.errors import UsageError

Precision = Literal["float32", "bfloat16", "auto"]
"""Of a network that is used. `auto` is bfloat16 where the device has units for it."""


def has_bf16_units(device: torch.device | None = None) -> bool:
    """Whether a device multiplies bfloat16 faster than float32; by default the CUDA device if there is one, else the CPU."""
    if torch.cuda.is_available() if device is None else device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """The type of a network's weights. Distributions and draws are never in half precision, whatever it is.

    Raises:
        UsageError: no precision is called so.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"dtype must be float32, bfloat16 or auto, got {precision!r}")
    half = precision == "bfloat16" or (precision == "auto" and has_bf16_units(device))
    return torch.bfloat16 if half else torch.float32
