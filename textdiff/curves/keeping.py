"""The curves in a run's folder, kept up to date while it trains. Nothing that goes wrong here ends a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textdiff.curves.drawing import draw_noise, draw_runs
from textdiff.curves.noise import NOISE, NoiseCurve, write_noise
from textdiff.curves.pictures import MISSING, can_draw, save_picture
from textdiff.curves.runs import open_runs

_SHARE = 0.01
"""Of a run's time, at most, goes into drawing while it trains."""
_FIRST_GUESS = 5.0
"""Seconds that the first drawing takes at most: matplotlib has to be loaded."""


class CurveKeeper:
    """Draws the curves of a run.

    Attributes:
        folder: of the run.
        say: tells a person something.
        clock: seconds, rising.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.say, self.clock = folder, say, clock
        self._ended = clock()
        self._cost = _FIRST_GUESS
        self._quiet: set[str] = set()

    def evaluated(self) -> None:
        """There is a new evaluation in the log. Draws if drawing takes less than its share of the time."""
        if can_draw() and self.clock() - self._ended >= self._cost / _SHARE:
            self._draw(self._learning)

    def finished(self, noise: NoiseCurve | None) -> None:
        """The run is at its end: writes what was measured by noise level, and draws."""
        if noise is not None and noise.points:
            self._try(lambda: write_noise(self.folder / NOISE, noise))
        if not can_draw():
            self._say(f"no curves were drawn: {MISSING}")
            return
        self._draw(self._learning)
        if noise is not None and noise.points:
            self._draw(lambda: self._by_noise(noise))

    def _learning(self) -> None:
        save_picture(draw_runs(open_runs([self.folder]), noise=False), self.folder / "curves" / "learning.png")

    def _by_noise(self, noise: NoiseCurve) -> None:
        save_picture(draw_noise(noise, self.folder.resolve().name), self.folder / NOISE.with_suffix(".png"))

    def _draw(self, act: Callable[[], None]) -> None:
        began = self.clock()
        self._try(act)
        self._ended = self.clock()
        self._cost = self._ended - began

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # a picture is worth less than a run, whatever matplotlib says
            self._say(f"the curves in {self.folder / 'curves'} are not up to date: {' '.join(str(error).split())}")

    def _say(self, message: str) -> None:
        """Says a sentence once."""
        if message not in self._quiet:
            self._quiet.add(message)
            self.say(message)
