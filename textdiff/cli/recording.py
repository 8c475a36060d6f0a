"""What happened to the gaps of a document while they were filled, to be played again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from textdiff.cli.scene import SlotsAtWork, texts

if TYPE_CHECKING:
    from textdiff.infiller.writing import Progress
    from textdiff.text.layout import Layout, Slot
    from textdiff.text.tokenizers import Tokenizer

FRAMES = 240
"""Frames that are kept at most. Of longer runs every second one goes, again and again: they are thinned evenly."""


class Look(IntEnum):
    """How a position is shown."""

    NOISE = 0
    FRESH = 1  # settled in this frame
    SETTLED = 2
    BACK = 3  # was settled, and went back to noise in this frame: its text is shown once more


class Shown(NamedTuple):
    """A position as it is shown: its text, and the probability of the token when it settled, in percent."""

    look: Look
    text: str
    percent: int | None


class Change(NamedTuple):
    """From a frame on a gap's position looks different."""

    gap: int
    position: int
    shown: Shown


class _Cell(NamedTuple):
    token: int | None  # None for noise that is no token, and for noise that nobody has seen yet
    noisy: bool
    percent: int | None


@dataclass
class _Track:
    """The positions of one slot, as they were and as they changed.

    Attributes:
        first: before the first step.
        given: which positions are not to be written.
        last: now.
        seen: ids and noise as they were shown last.
        changes: for each frame the positions that changed.
    """

    slot: Slot
    first: list[_Cell]
    given: list[bool]
    last: list[_Cell] = field(init=False)
    seen: tuple[list[int], list[bool]] | None = None
    changes: dict[int, dict[int, _Cell]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last = self.first

    def changed(self, cells: list[_Cell]) -> dict[int, _Cell]:
        """What is new in these cells, which become the last ones."""
        pairs = enumerate(zip(cells, self.last, self.given, strict=True))
        new = {i: cell for i, (cell, before, given) in pairs if cell != before and not given}
        self.last = [new.get(i, before) for i, before in enumerate(self.last)]
        return new

    def thin(self) -> None:
        """Makes one frame of every two."""
        halved: dict[int, dict[int, _Cell]] = {}
        for frame, cells in self.changes.items():
            halved.setdefault((frame + 1) // 2, {}).update(cells)
        self.changes = halved

    def text(self, tokenizer: Tokenizer) -> str:
        return "".join(shown.text for shown in self._shown(tokenizer, self.last, self.last, {}))

    def views(self, tokenizer: Tokenizer, number: Mapping[int, int]) -> Iterator[tuple[int, list[Shown]]]:
        """What is to be seen from which frame on; `number`: the frames that are played, counted from 1."""
        cells = self.first
        yield 0, self._shown(tokenizer, cells, cells, {})
        calm = None
        for frame in sorted(self.changes):
            if calm is not None and calm < number[frame]:
                yield calm, self._shown(tokenizer, cells, cells, {})
            new = self.changes[frame]
            after = [new.get(i, cell) for i, cell in enumerate(cells)]
            yield number[frame], self._shown(tokenizer, cells, after, new)
            cells, calm = after, number[frame] + 1
        if calm is not None:
            yield calm, self._shown(tokenizer, cells, cells, {})

    def _shown(
        self, tokenizer: Tokenizer, before: Sequence[_Cell], cells: Sequence[_Cell], new: Mapping[int, _Cell]
    ) -> list[Shown]:
        past, present = (
            texts(tokenizer, [([] if c.token is None else [c.token], c.noisy) for c in some], self.slot, hole="")
            for some in (before, cells)
        )
        looks = [_look(b, c, i in new) for i, (b, c) in enumerate(zip(before, cells, strict=True))]
        return [
            Shown(look, past[i] if look == Look.BACK else present[i], cells[i].percent) for i, look in enumerate(looks)
        ]


class Recording:
    """Takes down what the gaps of a document look like; `on_progress` is for `Infiller.infill`.

    A frame is a step in which something changed. Batches are written one after the other and played side by side:
    rows know nothing of each other.
    """

    def __init__(self, tokenizer: Tokenizer, number: int = 0) -> None:
        """`number`: which of the documents that are filled together."""
        self._tokenizer = tokenizer
        self._number = number
        self._slots = SlotsAtWork()
        self._layout: Layout | None = None
        self._tracks: dict[tuple[int, int], _Track] = {}  # of this layout, by place
        self._gaps: dict[int, list[_Track]] = {}  # of all layouts
        self._clocks: dict[int, int] = {}  # of this layout's batches, by first row: steps in which something changed
        self._stride = 1  # steps a frame

    def on_progress(self, layout: Layout, progress: Progress) -> None:
        """Looks at the canvas."""
        if layout is not self._layout:
            self._layout, self._tracks, self._clocks = layout, {}, {}
        event = progress.event
        values = [event.ids.tolist(), event.noisy.tolist(), event.log_p.tolist()]
        news = []
        for slot, row in self._slots.of(layout, progress):
            if slot.draft == self._number:
                ids, noisy, log_p = (value[row][slot.start : slot.stop] for value in values)
                track = self._track(layout, slot)
                if track.seen != (ids, noisy):  # most slots stay as they are in most steps
                    track.seen = ids, noisy
                    cells = [self._cell(*cell) for cell in zip(ids, noisy, log_p, strict=True)]
                    news.append((track, track.changed(cells)))
        if any(new for _, new in news):
            frame = self._tick(int(progress.rows[0]))
            for track, new in news:
                if new:
                    track.changes.setdefault(frame, {}).update(new)

    def play(self, finals: Mapping[int, str]) -> list[list[Change]]:
        """The frames: all noise, the steps, the result. Each holds what changes with it.

        Where there were several attempts at a gap, the one that became its text is played. A gap that was never seen
        has its text from the first frame on.

        Args:
            finals: the text of each gap.
        """
        tracks = {gap: self._chosen(gap, text) for gap, text in finals.items() if gap in self._gaps}
        used = sorted({frame for track in tracks.values() for frame in track.changes})
        number = {frame: i for i, frame in enumerate(used, 1)}
        frames: list[list[Change]] = [[] for _ in range(len(used) + 2)]
        for gap in finals.keys() - tracks.keys():
            frames[0].append(Change(gap, 0, Shown(Look.SETTLED, finals[gap], None)))
        for gap, track in tracks.items():
            views = [*track.views(self._tokenizer, number)]
            views.append((len(frames) - 1, _final(views[-1][1], finals[gap])))
            before: Sequence[Shown | None] = [None] * len(views[-1][1])
            for frame, shown in views:
                pairs = enumerate(zip(shown, before, strict=True))
                frames[frame].extend(Change(gap, i, new) for i, (new, old) in pairs if new != old)
                before = shown
        return frames

    def _track(self, layout: Layout, slot: Slot) -> _Track:
        place = (slot.row, slot.start)
        if place not in self._tracks:
            here = slice(slot.start, slot.stop)
            ids, frozen = layout.canvas.ids[slot.row, here].tolist(), layout.canvas.frozen[slot.row, here].tolist()
            pairs = zip(ids, frozen, strict=True)
            first = [_Cell(token if given else None, not given, None) for token, given in pairs]
            self._tracks[place] = track = _Track(slot, first, frozen)
            self._gaps.setdefault(slot.gap, []).append(track)
        return self._tracks[place]

    def _cell(self, token: int, noisy: bool, log_p: float) -> _Cell:
        if noisy:
            return _Cell(None if token == self._tokenizer.vocabulary.mask_id else token, True, None)
        return _Cell(token, False, round(100 * math.exp(min(log_p, 0.0))))

    def _tick(self, batch: int) -> int:
        """The frame of a batch's next change."""
        clock = self._clocks[batch] = self._clocks.get(batch, 0) + 1
        if clock > FRAMES * self._stride:
            self._stride *= 2
            for track in (track for tracks in self._gaps.values() for track in tracks):
                track.thin()
        return -(-clock // self._stride)

    def _chosen(self, gap: int, text: str) -> _Track:
        tracks = self._gaps[gap]
        return next((track for track in reversed(tracks) if track.text(self._tokenizer) == text), tracks[-1])


def _look(before: _Cell, cell: _Cell, is_new: bool) -> Look:
    if cell.noisy:
        return Look.NOISE if before.noisy else Look.BACK
    return Look.FRESH if is_new and (before.noisy or before.token != cell.token) else Look.SETTLED


def _final(shown: Sequence[Shown], text: str) -> list[Shown]:
    """The last view as the result has it: as one text, where the tokens do not spell it."""
    if "".join(cell.text for cell in shown if cell.look != Look.NOISE) == text:
        return [cell._replace(look=Look.SETTLED) for cell in shown]
    return [Shown(Look.SETTLED, "" if i else text, None) for i in range(len(shown))]
