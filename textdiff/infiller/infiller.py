"""The user's object: a model, its tokenizer and its samplers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, overload

import torch

from textdiff.draws import Draws
from textdiff.errors import UsageError
from textdiff.infiller.abilities import Abilities
from textdiff.infiller.assembly import Assembly
from textdiff.infiller.bias import LengthBias
from textdiff.infiller.caching import Cache
from textdiff.infiller.calibration import Calibration
from textdiff.infiller.choosing import Rerank, check_rerank
from textdiff.infiller.cutting import Blocks
from textdiff.infiller.drafts import Plan
from textdiff.infiller.filling import Filler
from textdiff.infiller.going_on import go_on
from textdiff.infiller.parts import Memory, fill_parts
from textdiff.infiller.results import GenerateResult, InfillResult, Sample, Stats, Target
from textdiff.infiller.samplers import DefaultSamplers, SamplerOptions, Steps, require_order
from textdiff.infiller.shelf import Shelf
from textdiff.infiller.targets import Lengths, TargetWriter
from textdiff.infiller.writing import Progress
from textdiff.model import DiffusionModel
from textdiff.sampling import Classifier, Sampler
from textdiff.text.document import Document
from textdiff.text.layout import Layout
from textdiff.text.mask_tokens import STANDARD
from textdiff.text.outline import outlines_of
from textdiff.text.tokenizers import Tokenizer
from textdiff.text.wishes import wishes_of

Fillable = str | bytes | Document
LengthChoice = Literal["auto", "model", "search"] | int | tuple[int, int]

ROOM = 12
"""Tokens at most of a gap that asks for nothing."""
MAX_ALTERNATIVES = 1_000


@dataclass(frozen=True)
class Infiller(Abilities):
    """Fills documents and writes text. Made by `textdiff.load`.

    Attributes:
        model: the network and its process.
        tokenizer: the model's.
        samplers: used where a call names no sampler.
        name: what results call the model.
        calibration: from the model's own probabilities to confidences.
        shelf: where the length bias of a model that knows no filler is kept.
    """

    model: DiffusionModel
    tokenizer: Tokenizer
    samplers: DefaultSamplers
    name: str = "model"
    calibration: Calibration = field(default_factory=Calibration)
    shelf: Shelf | None = None

    @overload
    def infill(self, documents: Fillable, **options: Any) -> InfillResult: ...

    @overload
    def infill(self, documents: list[Fillable] | list[str] | list[Document], **options: Any) -> list[InfillResult]: ...

    def infill(  # type: ignore[misc]  # the overloads leave the options to this signature
        self,
        documents: Fillable | list[Fillable] | list[str] | list[Document],
        *,
        seed: int = 0,
        steps: Steps | None = None,
        sampler: Sampler | str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        settings: Sequence[str] = (),
        length: LengthChoice = "auto",
        room: int | None = None,
        n: int = 1,
        min_confidence: float | None = None,
        must: Sequence[str] = (),
        forbid: Sequence[str] = (),
        mask_token: str = STANDARD,
        score: bool = True,
        on_progress: Callable[[Layout, Progress], None] | None = None,
        memory: Memory | None = None,
    ) -> InfillResult | list[InfillResult]:
        """Fills every gap. The same document, seed and options give the same result, whatever else is in the list.

        Args:
            documents: one document or several: text, bytes, or a parsed `Document`.
            seed: any integer.
            steps, sampler, temperature, top_k, top_p, min_p, settings: see `SamplerOptions`.
            length: of gaps that ask for none, in tokens: a number, (least, most), or how it is found: `model` by the model's
                own fillers, `search` by trying, `auto` the first where the model knows a filler.
            room: tokens at most, of gaps whose length is found.
            n: how many distinct fills to draw and rank.
            min_confidence: gaps with a lower confidence are left open.
            must, forbid: words that every gap must or must not hold.
            mask_token: what marks a gap in text and bytes: a literal or the name of a preset.
            score: whether to work out scores (some network calls more). Several fills always have them.
            on_progress: called while rows are written; with several fills for the first go only.
            memory: what an earlier call of the same documents and options has filled, and where this one keeps it.

        Raises:
            DataError: a document has no gap, is not UTF-8, or asks for what cannot be had.
            UsageError: an option is out of its range, or the model reads from left to right.
        """
        self.require_both_sides()
        single = not isinstance(documents, list)
        parsed = [_parse(d, mask_token) for d in (documents if isinstance(documents, list) else [documents])]
        for document in parsed:
            document.require_gaps()
        if not 1 <= n <= MAX_ALTERNATIVES:
            raise UsageError(f"n must be between 1 and {MAX_ALTERNATIVES}, got {n}")
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence must be between 0 and 1, got {min_confidence}")
        chosen = SamplerOptions(sampler, steps, temperature, top_k, top_p, None, min_p, settings).apply(
            self.samplers.infill
        )
        filler = Filler(self.model, self.tokenizer, chosen, self._method(length), self._bias, score or n > 1)
        began = time.perf_counter()
        parts = [self._parts(document, seed, length, room, tuple(must), tuple(forbid)) for document in parsed]
        fills = fill_parts(parts, filler, n, on_progress, memory)
        seconds = time.perf_counter() - began
        results = [
            Assembly(*made, self.calibration).result(n, min_confidence, seconds, self.name, seed)
            for made in zip(parsed, parts, fills, strict=True)
        ]
        return results[0] if single else results

    def generate(
        self,
        prompt: str | None = None,
        *,
        n: int = 1,
        max_new_tokens: int | None = None,
        block_size: int | None = None,
        cache: Cache | None = None,
        seed: int = 0,
        steps: Steps | None = None,
        sampler: Sampler | str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        settings: Sequence[str] = (),
        guidance: float | None = None,
        guide: Infiller | None = None,
        classifier: Classifier | None = None,
        classifier_weight: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> GenerateResult:
        """Writes text from nothing, or goes on from a prompt.

        Args:
            prompt: given text, or None.
            n: how many samples; sample i depends on (seed, i) only.
            max_new_tokens: how many tokens to write; by default 128, or as many as fit behind a prompt that leaves room.
            block_size: how many tokens to write at a time, from left to right, each block with all of the sampler's steps. By
                default all at once, and of a text longer than the context a quarter of that; see `Blocks`.
            cache: keep keys and values of what stands around a block while it is written (`prefix`: before it, `dual`: on
                both sides). Faster, and no longer exact; see `CachedBlock`.
            seed: any integer.
            steps, sampler, temperature, top_k, top_p, min_p, settings, guidance: see `SamplerOptions`.
            guide: a worse model of the same tokens, which guidance leads away from; by default this one without the prompt.
            classifier: what it leads towards, as often as classifier_weight says, by default once; see `load_classifier`.
            on_progress: called while rows are written.

        Raises:
            UsageError: an option is out of its range or does not fit the model.
        """
        self.require_documents()
        if not 1 <= n <= 10_000:
            raise UsageError(f"n must be between 1 and 10000, got {n}")
        text = prompt or ""
        healed = self.tokenizer.carries_spaces and text.endswith(" ")
        given = [*self.tokenizer.prefix_ids, *self.tokenizer.encode(text[:-1] if healed else text)]
        count = self.new_tokens(len(given), max_new_tokens)
        blocks = Blocks.of(self.model, block_size, len(given) + count, cache)
        counts = 1.0 if classifier_weight is None and classifier is not None else classifier_weight
        chosen = SamplerOptions(sampler, steps, temperature, top_k, top_p, guidance, min_p, settings, counts).apply(
            self.samplers.generate
        )
        require_order(self.model.process, chosen)
        if chosen.guidance.asks_twice and not text and guide is None:
            raise UsageError(
                "guidance compares what the model says with a prompt and without: give a prompt, or a guide, a worse model"
            )
        began = time.perf_counter()
        weak = self.guiding(guide)
        parts = self.model, self.tokenizer, chosen
        written = go_on(
            *parts, [given] * n, count, seed, blocks=blocks, on_progress=on_progress, weak=weak, classifier=classifier
        )
        texts = [self.tokenizer.decode(ids[len(given) :]) for ids in written.ids.tolist()]
        stats = Stats(written.steps, int(written.nfe.max()), n * count, time.perf_counter() - began)
        samples = tuple(Sample(text + (t.removeprefix(" ") if healed else t), count) for t in texts)
        return GenerateResult(samples, stats, self.name, seed)

    def targets(
        self,
        sources: Sequence[str],
        *,
        n: int = 1,
        rerank: Rerank = "likelihood",
        seed: int = 0,
        steps: Steps | None = None,
        sampler: Sampler | str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        settings: Sequence[str] = (),
        lengths: Lengths = "first",
        guidance: float | None = None,
        guide: Infiller | None = None,
        one_line: bool = False,
        on_done: Callable[[int], None] = lambda done: None,
    ) -> list[Target]:
        """Makes a target of each source, in order. It depends on its source, the seed and the options alone.

        Args:
            sources: texts of the kind that the model was trained on.
            n: how many candidates to write for each.
            rerank: which of several is taken: the likeliest, or the one of minimum Bayes risk, most like all the others.
            seed, steps, sampler, temperature, top_k, top_p, min_p, settings, guidance: as for `generate`.
            guide: as for `generate`; by default this model without the source.
            lengths, one_line: see `TargetWriter`.
            on_done: called with the number of sources that have their targets.

        Raises:
            UsageError: an option is out of its range, or the model was not trained on pairs.
            DataError: a source is longer than the model can read.
        """
        if not 1 <= n <= MAX_ALTERNATIVES:
            raise UsageError(f"n must be between 1 and {MAX_ALTERNATIVES}, got {n}")
        check_rerank(rerank)
        chosen = SamplerOptions(sampler, steps, temperature, top_k, top_p, guidance, min_p, settings).apply(
            self.samplers.infill
        )
        require_order(self.model.process, chosen)
        weak = self.guiding(guide)
        writer = TargetWriter(self.model, self.pair_layout(), chosen, n, rerank, seed, one_line, lengths, weak)
        return writer.write(sources, on_done)

    @cached_property
    def _bias(self) -> LengthBias:
        return LengthBias(self.model, self.tokenizer, self.shelf)

    def _method(self, length: LengthChoice) -> Literal["model", "search"]:
        known = self.tokenizer.vocabulary.filler_id is not None
        if length == "model" and not known:
            raise UsageError(
                "this model knows no filler token, so it cannot choose lengths itself: take length 'search'"
            )
        if isinstance(length, str) and length not in ("auto", "model", "search"):
            raise UsageError(f"length must be 'auto', 'model', 'search' or numbers of tokens, got {length!r}")
        return "model" if known and length != "search" else "search"

    def _parts(
        self,
        document: Document,
        seed: int,
        length: LengthChoice,
        room: int | None,
        must: tuple[str, ...],
        forbid: tuple[str, ...],
    ) -> list[Plan]:
        """The stretches of a document; what one of them is filled with depends on nothing in the others."""
        ends = len(self.tokenizer.prefix_ids) + len(self.tokenizer.suffix_ids)
        most = max(1, self.context_length - ends)
        default = None if isinstance(length, str) else (length, length) if isinstance(length, int) else length
        if default is not None and not 1 <= default[0] <= default[1] <= most:
            raise UsageError(f"length must be from 1 to {most} tokens, the shortest first, got {length}")
        if room is not None and room < 1:
            raise UsageError(f"room must be at least 1, got {room}")
        widest = min(ROOM if room is None else room, max(1, most // 2 if room is None else most))
        wishes = wishes_of(document, self.tokenizer, most, widest, default, must, forbid)
        outlines = outlines_of(document, self.tokenizer, self.context_length)
        seeds = Draws.seeded([seed] * len(outlines)).fold(torch.tensor([outline.gaps[0] for outline in outlines])).keys
        return [
            Plan(outline, [wishes[gap] for gap in outline.gaps], own)
            for outline, own in zip(outlines, seeds.tolist(), strict=True)
        ]


def _parse(document: Fillable, mask_token: str) -> Document:
    if isinstance(document, Document):
        return document
    return Document.parse(document.encode() if isinstance(document, str) else document, mask_token)
