"""Whether the devices multiply right, in every number format that textdiff uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textdiff.cli.checks.finding import Asked, Finding, failed, note, ok

if TYPE_CHECKING:
    import torch

_WIDTH = 64
# How far a product may be from the one in float32, as a share of it: some roundings of the format.
_TOLERANCES = {"float64": 1e-5, "float32": 2e-3, "bfloat16": 2e-2, "float16": 4e-3}
_INDISPENSABLE = ("float64", "float32")


def check_arithmetic(asked: Asked) -> Iterator[Finding]:
    """A small product of matrices in each format on each device, against float32 on the CPU."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device in ("cpu", *(f"cuda:{number}" for number in range(count))):
        yield _of_device(device)
    yield ok("float32", _library())
    yield ok("bfloat16", _units())


def _of_device(device: str) -> Finding:
    right, wrong, missing = [], [], []
    for name, tolerance in _TOLERANCES.items():
        try:
            off = deviation(device, name)
        except RuntimeError as error:
            missing.append(f"{name} ({' '.join(str(error).split())[:80]})")
            continue
        if off <= tolerance:
            right.append(name)
        else:
            wrong.append(f"{name} is off by {off:.2g}")
    label = f"numbers on {device}"
    if wrong or any(name.startswith(_INDISPENSABLE) for name in missing):
        found = "; ".join([*wrong, *(f"cannot multiply {name}" for name in missing)])
        return failed(label, found, "Do not use this device before another version of torch or of its driver agrees.")
    found = f"{', '.join(right)} agree"
    if missing:
        return note(label, f"{found}; without {', '.join(missing)}", "Nothing to do unless you want this format.")
    return ok(label, found)


def deviation(device: str, name: str) -> float:
    """How far a product in this format is from the one in float32, as a share of it.

    Raises:
        RuntimeError: the device cannot multiply in it.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_WIDTH, _WIDTH, generator=generator) for _ in range(2))
    reference = left @ right
    dtype: torch.dtype = getattr(torch, name)
    product = (left.to(device, dtype) @ right.to(device, dtype)).cpu().to(torch.float32)
    return float((product - reference).norm() / reference.norm())


def _library() -> str:
    from textdiff.products import has_faster_library

    if has_faster_library():
        return "large products go to oneDNN, which uses more of this processor than torch's own choice does"
    return "products go to the library that torch chooses"


def _units() -> str:
    from textdiff.backbones.precision import has_bf16_units

    if has_bf16_units():
        return "this device has units for it, so training uses it"
    return "this device has no units for it; training uses float32"
