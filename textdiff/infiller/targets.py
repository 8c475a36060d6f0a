"""Targets of sources: sequence to sequence, in batches, several of each, ranked."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from textdiff.denoiser import Reader
from textdiff.draws import Draws
from textdiff.errors import DataError
from textdiff.infiller.choosing import Rerank, expected_chrf
from textdiff.infiller.ranking import REPEATS, written_nats
from textdiff.infiller.results import Candidate, Target
from textdiff.infiller.samplers import temperature_of
from textdiff.infiller.target_lengths import length_laws, lengths_of
from textdiff.infiller.writing import Written, write
from textdiff.model import DiffusionModel
from textdiff.objectives import estimator_for
from textdiff.sampling import Constraint, FillersLast, Sampler, TokenClasses
from textdiff.text.canvas import Canvas
from textdiff.text.pairs import PairLayout

Lengths = Literal["first", "along"]

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
        lengths: whether the length of a target is chosen `first`, which takes a network call, or comes `along`, with the first
            filler that settles.
        weak: what the sampler's guidance leads away from; see `Sampler.sample`.
    """

    model: DiffusionModel
    layout: PairLayout
    sampler: Sampler
    n: int = 1
    rerank: Rerank = "likelihood"
    seed: int = 0
    one_line: bool = False
    lengths: Lengths = "first"
    weak: Reader | None = None

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
        canvas = self._sized(canvas) if self._first else canvas
        written = write(self.model, self.sampler, canvas, self._constraint(canvas), weak=self.weak)
        rooms = [
            self.layout.target(ids[len(before) :]) for before, ids in zip(given, written.ids.tolist(), strict=True)
        ]
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

    def _sized(self, canvas: Canvas) -> Canvas:
        """The same with the length of each target chosen: the fillers behind it are given."""
        sources = canvas.rows(torch.arange(0, len(canvas.ids), self.n))
        laws = length_laws(self.model, sources, self.layout.filler)
        lengths = lengths_of(laws, self.n, temperature_of(self.sampler), canvas.seeds.tolist())
        return replace(canvas, frozen=canvas.frozen | (canvas.free.cumsum(-1) > lengths.unsqueeze(-1)))

    @property
    def _first(self) -> bool:
        """From left to right nothing is known of what is to come."""
        return self.lengths == "first" and not self.model.process.left_to_right

    def _constraint(self, canvas: Canvas) -> Constraint:
        tokenizer = self.layout.tokenizer
        spelling = tokenizer.spelling
        text = [written is not None for written in spelling.texts(spelling.plain)]
        if self.one_line:
            text = [may and not {10, 13} & {*piece} for may, piece in zip(text, tokenizer.pieces, strict=True)]
        if self._first:
            return TokenClasses(
                torch.stack([torch.ones(len(text), dtype=torch.bool), torch.tensor(text)]), canvas.free.long()
            )
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
        """Network calls for a source: those of all its candidates, and what their lengths and ranking them took."""
        ranking = (1 if estimator_for(self.model.process).exact else REPEATS) if self.n > 1 else 0
        return int(written.nfe[row : row + self.n].sum()) + self.n * ranking + int(self._first)


def _worth(candidate: Candidate) -> float:
    """What candidates are ranked by. The last bits depend on the batch, and must not decide: of equal ones the first leads."""
    return round((candidate.score or 0.0) if candidate.utility is None else candidate.utility, 4)
