"""The cross-entropy of the held-out text by noise level, as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textdiff.curves.history import LARGEST
from textdiff.curves.writing import write_with_folder
from textdiff.errors import DataError
from textdiff.files import read_bytes

NOISE = Path("curves", "noise.jsonl")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class NoisePoint:
    """A part of the axis of noise levels.

    Attributes:
        low, high: its ends.
        level: the mean level of what was measured in it.
        value: nats per token.
        standard_error: of the value, or None where it is not known.
        windows, corruptions: how many went in.
    """

    low: float
    high: float
    level: float
    value: float
    standard_error: float | None
    windows: int
    corruptions: int


@dataclass(frozen=True)
class NoiseCurve:
    """The NELBO before it is averaged over noise levels.

    Attributes:
        axis: `mask_share`, `noise_share` (1 - alpha) or `time`.
        quantity: `cross_entropy` of the masked tokens, or `nelbo_integrand`.
        signature: all that the values depend on.
        points: by rising level.
    """

    axis: str
    quantity: str
    signature: str
    points: tuple[NoisePoint, ...]


def write_noise(path: Path, curve: NoiseCurve) -> None:
    """Writes a curve in one step, a part of the axis a line, each of which stands for itself.

    Raises:
        DataError: the file cannot be written.
        ResourceError: the disk is full.
    """
    head = {"axis": curve.axis, "quantity": curve.quantity, "unit": "nats/token"}
    rows = [{**head, **_finite(asdict(point)), "signature": curve.signature} for point in curve.points]
    write_with_folder(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def read_noise(folder: Path) -> NoiseCurve | None:
    """The curve of a run, or None if it has none.

    Raises:
        DataError: the file holds something else.
    """
    path = folder / NOISE
    if not path.is_file():
        return None
    try:
        rows = [json.loads(line) for line in read_bytes(path, _LARGEST, DataError).splitlines()]
        points = sorted((_point(row) for row in rows), key=lambda point: point.level)
        if not rows:
            return None
        axis, quantity, sign = (str(rows[0][name]) for name in ("axis", "quantity", "signature"))
        return NoiseCurve(axis, quantity, sign, tuple(points))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise DataError(f"{path} is not what `textdiff train` writes there; remove it") from None


def _point(row: Mapping[str, Any]) -> NoisePoint:
    """A line of the file; one of the errors that `read_noise` knows if a figure is none, or is out of all bounds."""
    point = NoisePoint(**{name: row[name] for name in NoisePoint.__dataclass_fields__})
    figures = [point.low, point.high, point.level, point.value, point.standard_error or 0.0]
    if not all(math.isfinite(figure) and abs(figure) <= LARGEST for figure in figures):
        raise ValueError(f"{figures} cannot be drawn")
    return point


def _finite(row: dict[str, float | int | None]) -> dict[str, float | int | None]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
