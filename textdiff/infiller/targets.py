"""Targets of sources: sequence to sequence, in batches, several of each, ranked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import DataError
from textdiff.infiller.choosing import Rerank, expected_chrf
from textdiff.infiller.ranking import REPEATS, written_nats
from textdiff.infiller.results import Candidate, Target
from textdiff.infiller.writing import Written, write
from textdiff.model import DiffusionModel
from textdiff.objectives import estimator_for
from textdiff.sampling import FillersLast, Sampler
from textdiff.text.canvas import Canvas
from textdiff.text.pairs import PairLayout

SOURCES = 256
"""Whose targets are written together. It changes the speed and the memory, never a result."""


@dataclass(frozen=True)
class TargetWriter:
    """How targets are written.

    Attributes:
        model: one that was trained on pairs.
        layout: where a source and its target stand.
        sampler: how tokens settle.
        n: candidates for each source.
        rerank: how one of several is chosen.
        seed: of all of them. A target depends on its source, this seed and the number of the candidate alone.
        one_line: whether no line end is written.
    """

    model: DiffusionModel
    layout: PairLayout
    sampler: Sampler
    n: int = 1
    rerank: Rerank = "likelihood"
    seed: int = 0
    one_line: bool = False

    def write(self, sources: Sequence[str], on_done: Callable[[int], None] = lambda done: None) -> list[Target]:
        """A target for each source, in their order.

        Args:
            on_done: called with the number of sources that have theirs.

        Raises:
            DataError: a source is longer than the model can read.
        """
        encoded = self.layout.tokenizer.encode_many(list(sources))
        for number, ids in enumerate(encoded, 1):
            if len(ids) > self.layout.longest_source:
                most = self.layout.longest_source
                raise DataError(
                    f"source {number} has {len(ids)} tokens, and the model reads at most {most}; shorten it"
                )
        found: list[Target] = []
        for start in range(0, len(sources), SOURCES):
            part = slice(start, start + SOURCES)
            found += self._together(sources[part], encoded[part])
            on_done(len(found))
        return found

    def _together(self, sources: Sequence[str], encoded: Sequence[Sequence[int]]) -> list[Target]:
        given = [self.layout.given(ids) for ids in encoded for _ in range(self.n)]
        canvas = self._canvas(
            given, [[self.layout.filler] * self.layout.target_length] * len(given), self._seeds(sources)
        )
        written = write(self.model, self.sampler, canvas, self._constraint(canvas))
        rooms = [self.layout.target(ids) for ids in written.ids[canvas.free].view(len(given), -1).tolist()]
        texts = [self.layout.tokenizer.decode(ids) for ids in rooms]
        scores = self._scores(given, rooms, sources) if self.n > 1 else [None] * len(texts)
        rows = range(0, len(texts), self.n)
        return [
            self._target(texts[row : row + self.n], scores[row : row + self.n], self._calls(written, row))
            for row in rows
        ]

    def _target(self, texts: Sequence[str], scores: Sequence[float | None], calls: int) -> Target:
        utilities = expected_chrf(texts) if self.n > 1 and self.rerank == "mbr" else [None] * self.n
        candidates = [Candidate(*one) for one in zip(texts, scores, utilities, strict=True)]
        best = sorted(candidates, key=_worth, reverse=True)
        return Target(best[0].text, tuple(best), calls)

    def _seeds(self, sources: Sequence[str]) -> list[int]:
        """Of the source's own text: two sources have nothing to do with each other, and no order matters."""
        texts = torch.tensor([zlib.crc32(source.encode()) for source in sources for _ in range(self.n)])
        return Draws.seeded([self.seed] * len(texts)).fold(texts, torch.arange(len(texts)) % self.n).keys.tolist()

    def _canvas(self, given: Sequence[list[int]], rooms: Sequence[list[int]], seeds: Sequence[int]) -> Canvas:
        rows = [before + room for before, room in zip(given, rooms, strict=True)]
        frozen = [[True] * len(before) + [False] * len(room) for before, room in zip(given, rooms, strict=True)]
        return Canvas.of_rows(rows, frozen, seeds, self.layout.tokenizer.vocabulary)

    def _constraint(self, canvas: Canvas) -> FillersLast:
        tokenizer = self.layout.tokenizer
        spelling = tokenizer.spelling
        text = [written is not None for written in spelling.texts(spelling.plain)]
        if self.one_line:
            text = [may and not {10, 13} & {*piece} for may, piece in zip(text, tokenizer.pieces, strict=True)]
        return FillersLast(torch.tensor(text), self.layout.filler, canvas.free)

    def _scores(
        self, given: Sequence[list[int]], rooms: Sequence[list[int]], sources: Sequence[str]
    ) -> list[float | None]:
        """log p(target | source), nats: of candidates of one source with the same noise."""
        seeds = [zlib.crc32(source.encode()) for source in sources for _ in range(self.n)]
        canvas = self._canvas(given, [self.layout.room(room) for room in rooms], seeds)
        nats: Tensor = written_nats(self.model, canvas).sum(-1)
        return [-value for value in nats.tolist()]

    def _calls(self, written: Written, row: int) -> int:
        """Network calls for a source: those of all its candidates, and what ranking them took."""
        ranking = (1 if estimator_for(self.model.process).exact else REPEATS) if self.n > 1 else 0
        return int(written.nfe[row : row + self.n].sum()) + self.n * ranking


def _worth(candidate: Candidate) -> float:
    """What candidates are ranked by. The last bits depend on the batch, and must not decide: of equal ones the first leads."""
    return round((candidate.score or 0.0) if candidate.utility is None else candidate.utility, 4)
