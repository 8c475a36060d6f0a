"""How many standard errors a 95 % interval is wide, where the error itself is only estimated."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

NORMAL = 1.959964
_CELLS = 1 << 13


@lru_cache(maxsize=256)
def student_margin(degrees: float) -> float:
    """The 97.5 % point of Student's t with so many degrees of freedom: no whole number, but at least 1.

    With t = sqrt(d) tan(a) the density in a is cos(a)^(d - 1) up to a factor: smooth and bounded, so a sum is enough.
    """
    if degrees > 1e6:
        return NORMAL
    end = min(math.pi / 2, 12 / math.sqrt(degrees))  # behind it is nothing that counts
    angle = np.linspace(0, end, _CELLS + 1)
    density = np.cos(angle).clip(min=0) ** (degrees - 1)
    below = np.concatenate(([0.0], np.cumsum(density[1:] + density[:-1])))
    return float(math.sqrt(degrees) * math.tan(np.interp(0.95 * below[-1], below, angle)))
