"""The user's object: a model, its tokenizer and its samplers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import torch

from textdiff.draws import Draws
from textdiff.errors import UsageError
from textdiff.infiller.results import GapFill, GenerateResult, InfillResult, Sample, Stats
from textdiff.infiller.samplers import DefaultSamplers, SamplerOptions
from textdiff.infiller.writing import Progress, Written, mean_log_p, write
from textdiff.model import DiffusionModel
from textdiff.sampling import Sampler
from textdiff.text.canvas import Canvas
from textdiff.text.document import Document
from textdiff.text.layout import Layout, lay_out, read_back
from textdiff.text.limits import free_limits, make_limits
from textdiff.text.tokenizers import Tokenizer

Fillable = str | bytes | Document

ROOM = 12
"""Positions of a gap that asks for no length, where the model knows the filler; the text may be shorter."""


@dataclass(frozen=True)
class Infiller:
    """Fills documents and writes text. Made by `textdiff.load`.

    Attributes:
        model: the network and its process.
        tokenizer: the model's.
        samplers: used where a call names no sampler.
        name: what results call the model.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    samplers: DefaultSamplers
    name: str = "model"

    @overload
    def infill(self, documents: Fillable, **options: Any) -> InfillResult: ...

    @overload
    def infill(self, documents: list[Fillable] | list[str], **options: Any) -> list[InfillResult]: ...

    def infill(  # type: ignore[misc]  # the overloads leave the options to this signature
        self,
        documents: Fillable | list[Fillable] | list[str],
        *,
        seed: int = 0,
        steps: int | None = None,
        sampler: Sampler | str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        room: int | None = None,
        mask_token: str = "[MASK]",
        on_progress: Callable[[Layout, Progress], None] | None = None,
    ) -> InfillResult | list[InfillResult]:
        """Fills every gap. The same document, seed and options give the same result, whatever else is in the list.

        Args:
            documents: one document or several: text, bytes, or a parsed `Document`.
            seed: any integer.
            steps, sampler, temperature, top_k, top_p: see `SamplerOptions`.
            room: positions of a gap that asks for no length: its text has at most so many tokens, or exactly so many where
                the model has no filler token (1 by default there).
            mask_token: the literal that marks a gap in text and bytes.
            on_progress: called while rows are written.

        Raises:
            DataError: a document has no gap, is not UTF-8, or asks for what cannot be had.
            UsageError: an option is out of its range.
        """
        single = not isinstance(documents, list)
        parsed = [_parse(d, mask_token) for d in (documents if isinstance(documents, list) else [documents])]
        for document in parsed:
            document.require_gaps()
        chosen = SamplerOptions(sampler, steps, temperature, top_k, top_p).apply(self.samplers.infill)
        began = time.perf_counter()
        if room is None:
            room = min(ROOM, self.context_length // 2) if self.tokenizer.vocabulary.filler_id is not None else 1
        layout = lay_out(parsed, self.tokenizer, self.context_length, [seed] * len(parsed), room)
        limits = make_limits(layout, self.tokenizer)
        watch = None if on_progress is None else lambda progress: on_progress(layout, progress)
        written = write(self.model, chosen, layout.canvas, limits, watch)
        seconds = time.perf_counter() - began
        texts = read_back(written.ids, layout, self.tokenizer)
        results = [
            self._result(number, document, texts[number], layout, written, seed, seconds)
            for number, document in enumerate(parsed)
        ]
        return results[0] if single else results

    def generate(
        self,
        prompt: str | None = None,
        *,
        n: int = 1,
        max_new_tokens: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampler: Sampler | str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> GenerateResult:
        """Writes text from nothing, or goes on from a prompt.

        Args:
            prompt: given text, or None.
            n: how many samples; sample i depends on (seed, i) only.
            max_new_tokens: how many tokens to write; by default as many as the context holds, at most 128.
            seed: any integer.
            steps, sampler, temperature, top_k, top_p: see `SamplerOptions`.
            on_progress: called while rows are written.

        Raises:
            UsageError: an option is out of its range, or the prompt leaves no room.
        """
        if not 1 <= n <= 10_000:
            raise UsageError(f"n must be between 1 and 10000, got {n}")
        text = prompt or ""
        healed = self.tokenizer.carries_spaces and text.endswith(" ")
        given = [*self.tokenizer.prefix_ids, *self.tokenizer.encode(text[:-1] if healed else text)]
        count = self._new_tokens(len(given), max_new_tokens)
        chosen = SamplerOptions(sampler, steps, temperature, top_k, top_p).apply(self.samplers.generate)
        began = time.perf_counter()
        seeds = Draws.seeded([seed] * n).fold(torch.arange(n)).keys.tolist()
        # what stands at free positions is of no matter: the sampler begins with noise
        row = given + [self.tokenizer.vocabulary.pad_id] * count
        frozen = [True] * len(given) + [False] * count
        canvas = Canvas.of_rows([row] * n, [frozen] * n, seeds, self.tokenizer.vocabulary)
        written = write(self.model, chosen, canvas, free_limits(canvas, self.tokenizer), on_progress)
        texts = [self.tokenizer.decode(ids[len(given) :]) for ids in written.ids.tolist()]
        stats = Stats(written.steps, int(written.nfe.max()), n * count, time.perf_counter() - began)
        samples = tuple(Sample(text + (t.removeprefix(" ") if healed else t), count) for t in texts)
        return GenerateResult(samples, stats, self.name, seed)

    @property
    def context_length(self) -> int:
        """Positions that the model can see at once."""
        return int(self.model.config.context_length)

    def _new_tokens(self, given: int, asked: int | None) -> int:
        left = self.context_length - given
        count = min(128, left) if asked is None else asked
        if count < 1:
            found = (
                "the prompt fills the context" if asked is None else f"max_new_tokens must be at least 1, got {asked}"
            )
            raise UsageError(f"{found} ({self.context_length} tokens, {given} of them given)")
        if count > left:
            raise UsageError(
                f"max_new_tokens is {count}, but the model's context of {self.context_length} tokens has room for {left} "
                f"after the {given} that are given"
            )
        return count

    def _result(
        self,
        number: int,
        document: Document,
        texts: list[str],
        layout: Layout,
        written: Written,
        seed: int,
        seconds: float,
    ) -> InfillResult:
        filled = document.fill(texts)
        filler = self.tokenizer.vocabulary.filler_id
        fillers = written.ids == (-1 if filler is None else filler)
        gaps, tokens = [], 0
        slots = {slot.gap: slot for slot in layout.slots if slot.document == number and slot.kept}
        for gap, text, (start, end) in zip(document.gaps, texts, filled.spans, strict=True):
            slot = slots[gap.index]
            place = (slot.row, slice(slot.start, slot.stop))
            score = mean_log_p(written.log_p[place], ~fillers[place])
            gaps.append(GapFill(gap.index, gap.name, start, end, text, score))
            tokens += slot.stop - slot.start
        rows = [i for i, row in enumerate(layout.rows) if row.document == number]
        stats = Stats(written.steps, int(written.nfe[rows].max()), tokens, seconds)
        return InfillResult(filled.text, tuple(gaps), stats, self.name, seed)


def _parse(document: Fillable, mask_token: str) -> Document:
    if isinstance(document, Document):
        return document
    return Document.parse(document.encode() if isinstance(document, str) else document, mask_token)
