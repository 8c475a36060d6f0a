"""More of what the given text, or the better network, makes of the answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser, Reader, Readout, as_readout
from textdiff.errors import ConfigError
from textdiff.text.canvas import Canvas

_LEAST = -1e4
"""Log-probabilities below this are 0 to any precision, and still finite after they are weighed."""


@dataclass(frozen=True)
class Guidance:
    """p proportional to strong^w weak^(1 - w): what sets the strong side apart from the weak one, w times.

    The weak side is the same network that does not see what is given (classifier-free guidance), or another, worse
    network (autoguidance). With absorbing noise the two sides' laws of x_0 are combined, with other noise those of x_s.

    Attributes:
        weight: w, at least 0. 0 is the weak side alone, 1 the strong side alone, at no further cost.
        schedule: `constant`, or `rising`: from none in pure noise to all of it at the end, in proportion to 1 - t.
        classifier: gamma, at least 0: what a classifier of texts says counts so often; 0 is none, 1 its own word. See
            `classifiers`.

    Source: arXiv 2412.10193, sections 3.1 and 3.2; autoguidance arXiv 2406.02507; less of it in much noise arXiv 2507.08965.
    """

    weight: float = 1.0
    schedule: Literal["constant", "rising"] = "constant"
    classifier: float = 0.0

    def __post_init__(self) -> None:
        for value, name in ((self.weight, "guidance"), (self.classifier, "the classifier")):
            if not (value >= 0 and math.isfinite(value)):
                raise ConfigError(f"the weight of {name} must be a finite number of at least 0, got {value}")

    @property
    def asks_twice(self) -> bool:
        """Whether each step takes the weak side's answer too."""
        return self.weight != 1

    def combined(self, strong: Tensor, weak: Tensor, t: Tensor) -> Tensor:
        """Log-probabilities [N, V] of both sides' [N, V] at times float64 [N]."""
        w = (1 + (self.weight - 1) * self._share(t)).to(strong.dtype).unsqueeze(-1)
        mixed = w * strong.clamp(min=_LEAST) + (1 - w) * weak.clamp(min=_LEAST)
        return mixed.masked_fill(strong.isneginf() & weak.isneginf(), -torch.inf).log_softmax(-1)

    def tilt(self, log_p_y: Tensor, t: Tensor) -> Tensor:
        """What is added to log-probabilities, for what a classifier says of each id [N, V] at times float64 [N]."""
        return (self.classifier * self._share(t)).to(log_p_y.dtype).unsqueeze(-1) * log_p_y.clamp(min=_LEAST)

    def _share(self, t: Tensor) -> Tensor:
        """How much of the guidance counts at these times, [N]."""
        return torch.ones_like(t) if self.schedule == "constant" else 1 - t


def blindfolded(denoiser: Denoiser | Reader, columns: int | None = None) -> Reader:
    """The same network that does not see what is given: all of it, or the first so many positions."""

    def read(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        hidden = canvas.frozen & canvas.valid
        if columns is not None:
            hidden = hidden & (torch.arange(hidden.shape[1], device=hidden.device) < columns)
        return as_readout(denoiser(x_t, t, replace(canvas, hidden=hidden), where))

    return read
