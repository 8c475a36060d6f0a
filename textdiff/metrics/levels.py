"""What a text costs at each noise level: the NELBO before it is averaged over levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.metrics.likelihood import ratio_error
from textdiff.objectives import LevelNats

MOST_BINS = 20
_BIN_ROWS = 20
"""Corruptions that a bin should have: with fewer of them its standard error says little."""


@dataclass(frozen=True)
class LevelBin:
    """A part of the axis of noise levels.

    Attributes:
        low, high: its ends, in (0, 1].
        level: the mean level in it.
        nats: nats per token; see `LevelNats` for what they are.
        standard_error: of `nats`; windows are the independent units. Infinite for a single window.
        windows, corruptions: how many lie in it.
    """

    low: float
    high: float
    level: float
    nats: float
    standard_error: float
    windows: int
    corruptions: int


class LevelProfile:
    """Collects what `estimate_nelbo` measures, and sorts it by noise level."""

    def __init__(self) -> None:
        self._windows: list[Tensor] = []
        self._found: list[LevelNats] = []

    def add(self, first: int, found: LevelNats) -> None:
        """Takes one corruption of each of the windows first, first + 1, …"""
        self._windows.append(first + torch.arange(len(found.level)))
        self._found.append(LevelNats(*(part.cpu() for part in found)))

    def bins(self, count: int | None = None) -> list[LevelBin]:
        """The curve: in each of `count` equal parts of (0, 1] a ratio of sums. Parts that nothing lies in are left out.

        Weighted with the shares of the levels that lie in them, the values of all parts add up to the NELBO per token (less
        what the ends of time add to it, see `ForwardProcess.boundary_nats`). Of a time these shares are the widths of the
        parts; of a count form they are n / F of F levels, which come near the widths where F is large.

        Args:
            count: by default up to `MOST_BINS`, as many as the corruptions allow.
        """
        if not self._found:
            return []
        windows = torch.cat(self._windows)
        level, nats, tokens = (torch.cat(parts) for parts in zip(*self._found, strict=True))
        if count is None:
            count = min(MOST_BINS, max(1, len(level) // _BIN_ROWS))
        # (low, high]: a share of exactly 1, all tokens noisy, belongs to the last part
        place = ((level * count).ceil().long() - 1).clamp(0, count - 1)
        found = []
        for number in range(count):
            here = (place == number) & (tokens > 0)
            if not bool(here.any()):
                continue
            ends = number / count, (number + 1) / count
            found.append(_bin(ends, windows[here], level[here], nats[here], tokens[here]))
        return found


def _bin(ends: tuple[float, float], windows: Tensor, level: Tensor, nats: Tensor, tokens: Tensor) -> LevelBin:
    of_windows = torch.zeros(2, int(windows.max()) + 1, dtype=torch.float64)
    of_windows[0].index_add_(0, windows, nats)
    of_windows[1].index_add_(0, windows, tokens)
    of_windows = of_windows[:, of_windows[1] > 0]
    total = float(tokens.sum())
    return LevelBin(
        *ends,
        float((level * tokens).sum()) / total,
        float(nats.sum()) / total,
        ratio_error(of_windows[0], of_windows[1]),
        of_windows.shape[1],
        len(level),
    )
