"""Several ways to fill a stretch of a document: distinct ones, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from textdiff.draws import Draws
from textdiff.infiller.drafts import Plan
from textdiff.infiller.filling import Fill, Filler
from textdiff.infiller.writing import Progress
from textdiff.text.layout import Layout

_TEMPERATURES = (0.5, 0.7, 0.85, 1.0, 1.0, 2.0, 4.0)
"""At least so warm is each round of draws: a cool sampler gives the same fill again and again. The last rounds are for gaps
that hold one of a few texts, some of them hardly probable."""
_ALTERNATIVES = 0xA17


def distinct_fills(
    plans: Sequence[Plan],
    filler: Filler,
    count: int,
    on_progress: Callable[[Layout, Progress], None] | None = None,
) -> list[list[Fill]]:
    """Up to `count` fills of each plan with distinct texts, sorted by score; fewer where the rounds find no more.

    The first go is the one that is made where a single fill is wanted; only that one is shown by `on_progress`.
    """
    found: list[dict[tuple[str, ...], Fill]] = [{} for _ in plans]
    _take(found, list(range(len(plans))), filler.fill(plans, on_progress))
    drawn = 1
    for temperature in _TEMPERATURES:
        missing = [number for number, fills in enumerate(found) if len(fills) < count]
        if not missing:
            break
        goes = [(number, drawn + i) for number in missing for i in range(count)]
        again = [plans[number].reseeded(_seed(plans[number].seed, go)) for number, go in goes]
        _take(found, [number for number, _ in goes], filler.at_temperature(temperature).fill(again))
        drawn += count
    return [sorted(fills.values(), key=lambda fill: (-fill.score, fill.texts))[:count] for fills in found]


def _take(found: list[dict[tuple[str, ...], Fill]], numbers: Sequence[int], fills: Sequence[Fill]) -> None:
    for number, fill in zip(numbers, fills, strict=True):
        before = found[number].get(fill.texts)
        if before is None or fill.score > before.score:  # other lengths or pieces can spell the same text
            found[number][fill.texts] = fill


def _seed(seed: int, go: int) -> int:
    """The seed of a further go."""
    return int(Draws.seeded([seed]).fold(_ALTERNATIVES, torch.tensor([go])).keys[0])
