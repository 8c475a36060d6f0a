"""What the tests marked `gpu` run on.

`TEXTDIFF_GPU_TESTS_ON=cpu python -m pytest -m gpu tests/test_gpu.py` runs them on a CPU: what is right there is not yet
right on a GPU, but what is wrong there is a fault of the test.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.text.canvas import Canvas

DEVICE = os.environ.get("TEXTDIFF_GPU_TESTS_ON", "cuda")
ON_GPU = DEVICE.startswith("cuda")
MISSING = None if not ON_GPU or torch.cuda.is_available() else "torch sees no CUDA device here"


def from_cpu(denoiser: Denoiser) -> Denoiser:
    """A denoiser that computes on the CPU, asked from the device: the same answers, bit for bit, wherever it is asked."""

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        return denoiser(x_t.cpu(), t.cpu(), canvas.to("cpu"), where.cpu()).to(x_t.device)

    return denoise


@contextmanager
def exact_products() -> Iterator[None]:
    """Single precision is single precision: no TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def counted_waits() -> Iterator[list[str]]:
    """The places at which the host waited for the GPU, filled in as they come."""
    places: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")
            places += [f"{w.filename}:{w.lineno}" for w in found if "synchronizing" in str(w.message)]
