"""One go at a batch of stretches of documents: lengths, canvas, sampling, texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from textdiff.infiller.bias import LengthBias
from textdiff.infiller.drafts import Odds, Plan, Sized
from textdiff.infiller.lengths import size_by_model
from textdiff.infiller.ranking import infilling_scores
from textdiff.infiller.samplers import temperature_of
from textdiff.infiller.search import size_by_search
from textdiff.infiller.writing import Progress, Written, gap_constraint, write
from textdiff.model import DiffusionModel
from textdiff.sampling import Sampler
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.layout import Layout, Slot, lay_out
from textdiff.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Fill:
    """One way to fill a stretch of a document.

    Attributes:
        texts: of its gaps.
        log_p: for each gap the log-probability of its length and of its tokens when they were written, nats.
        scores: for each gap its share of the infilling log-likelihood, nats; None where nobody asked.
        odds: for each gap the lengths that were considered; () where there was no choice.
        visible: for each gap the bytes of the source that the network saw.
        nfe: network calls of the row that had the most.
        steps: sampler steps of the longest row of the batch.
        tokens: written positions.
    """

    texts: tuple[str, ...]
    log_p: tuple[float, ...]
    scores: tuple[float, ...] | None
    odds: tuple[Odds, ...]
    visible: tuple[tuple[int, int], ...]
    nfe: int
    steps: int
    tokens: int

    @property
    def score(self) -> float:
        """Of all its gaps, nats."""
        return sum(self.scores or self.log_p)


@dataclass(frozen=True)
class Filler:
    """How documents are filled.

    Attributes:
        model, tokenizer: whose.
        sampler: how tokens settle.
        method: where lengths come from.
        bias: for the search.
        score: whether to score what was written.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    sampler: Sampler
    method: Literal["model", "search"]
    bias: LengthBias
    score: bool

    def fill(self, plans: Sequence[Plan], on_progress: Callable[[Layout, Progress], None] | None = None) -> list[Fill]:
        """Fills every plan once. What comes out for a plan depends on that plan alone."""
        sized = self._sized(plans)
        layout = lay_out([one.draft for one in sized], self.tokenizer, self.model.config.context_length)
        constraint = gap_constraint(layout, [[wish.automaton for wish in plan.wishes] for plan in plans])
        watch = None if on_progress is None else lambda progress: on_progress(layout, progress)
        written = write(self.model, self.sampler, layout.canvas, constraint, watch)
        scores = infilling_scores(self.model, layout, written.ids, sized) if self.score else None
        slots: list[list[Slot]] = [[] for _ in sized]
        for slot in layout.slots:
            if slot.kept:
                slots[slot.draft].append(slot)
        found = []
        for number, one in enumerate(sized):
            mine = None if scores is None else tuple(scores[number])
            found.append(self._fill(one, slots[number], layout, written, mine))
        return found

    def at_temperature(self, temperature: float) -> Filler:
        """The same, but at least as warm."""
        if self.temperature >= temperature:
            return self
        others = tuple(warp for warp in self.sampler.warps if not isinstance(warp, TemperatureWarp))
        return replace(self, sampler=replace(self.sampler, warps=(TemperatureWarp(temperature), *others)))

    @property
    def temperature(self) -> float:
        return temperature_of(self.sampler)

    def _sized(self, plans: Sequence[Plan]) -> list[Sized]:
        if self.method == "model":
            return size_by_model(plans, self.model, self.tokenizer, self.temperature)
        return size_by_search(plans, self.model, self.tokenizer, self.bias)

    def _fill(
        self, sized: Sized, slots: Sequence[Slot], layout: Layout, written: Written, scores: tuple[float, ...] | None
    ) -> Fill:
        texts, log_p, visible = [], [], []
        for slot in sorted(slots, key=lambda slot: slot.gap):
            ids, row = written.ids[slot.text].tolist(), layout.rows[slot.row]
            texts.append(self.tokenizer.spelling.text(ids, slot.state))
            log_p.append(sized.log_odds(slot.gap) + float(written.log_p[slot.text].sum()))
            visible.append((row.start_byte, row.stop_byte))
        nfe = max(int(written.nfe[slot.row]) for slot in slots)
        tokens = sum(sized.lengths)
        return Fill(tuple(texts), tuple(log_p), scores, sized.odds, tuple(visible), nfe, written.steps, tokens)
