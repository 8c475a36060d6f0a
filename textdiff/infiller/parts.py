"""Documents in parts: stretches that cannot see each other are filled by themselves, some of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from textdiff.infiller.alternatives import distinct_fills
from textdiff.infiller.drafts import Plan
from textdiff.infiller.filling import Fill, Filler
from textdiff.infiller.writing import Progress
from textdiff.text.layout import Layout

AT_A_TIME = 128
"""Parts that are filled together. It bounds the memory, and changes no result."""

Watch = Callable[[Layout, Progress], None]


class Memory(Protocol):
    """Keeps what was filled, so that a run which was stopped need not do it again."""

    def recall(self, document: int, part: int) -> list[Fill] | None:
        """The fills of a part of a document, by their numbers; None where they are not known."""

    def keep(self, fills: Sequence[tuple[int, int, list[Fill]]]) -> None:
        """Called with (document, part, its fills) of all parts that were filled together."""


def fill_parts(
    documents: Sequence[Sequence[Plan]], filler: Filler, count: int, on_progress: Watch | None, memory: Memory | None
) -> list[list[list[Fill]]]:
    """Up to `count` fills of each part of each document; see `distinct_fills`."""
    places = [(number, part) for number, plans in enumerate(documents) for part in range(len(plans))]
    known = {} if memory is None else {place: memory.recall(*place) for place in places}
    found = {place: fills for place, fills in known.items() if fills is not None}
    waiting = [place for place in places if place not in found]
    for first in range(0, len(waiting), AT_A_TIME):
        chunk = waiting[first : first + AT_A_TIME]
        plans = [documents[number][part] for number, part in chunk]
        names = [(number, plan.outline.gaps) for (number, _), plan in zip(chunk, plans, strict=True)]
        watch = None if on_progress is None else _renumbering(on_progress, names)
        filled = dict(zip(chunk, distinct_fills(plans, filler, count, watch), strict=True))
        if memory is not None:
            memory.keep([(*place, fills) for place, fills in filled.items()])
        found |= filled
    return [[found[number, part] for part in range(len(plans))] for number, plans in enumerate(documents)]


def _renumbering(on_progress: Watch, names: Sequence[tuple[int, Sequence[int]]]) -> Watch:
    """Shows layouts with the numbers of documents and of their gaps."""
    seen: list[tuple[Layout, Layout]] = []

    def watch(layout: Layout, progress: Progress) -> None:
        if not seen or seen[-1][0] is not layout:
            seen[:] = [(layout, layout.renumbered(names))]
        on_progress(seen[-1][1], progress)

    return watch
