"""What a model answers to the three questions of a harness: how likely a continuation is, a text is, and what comes next.

The law of a continuation is that of its tokens given their number and all that stands before it; when it is exact is said in
`textdiff.evaluation.continuations`. All that is compared is measured alike: exactly if all of it can be, else by the bound
with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from textdiff.denoiser import Denoiser, Reader
from textdiff.errors import DataError, UsageError
from textdiff.evaluation.continuations import Continuation, can_be_summed, continuation_nats, summed_nats
from textdiff.evaluation.generation.excerpts import passage
from textdiff.evaluation.infilling.likelihood import known_length
from textdiff.infiller import Infiller, SamplerOptions
from textdiff.infiller.going_on import go_on
from textdiff.infiller.writing import text_constraint, write
from textdiff.processes import AbsorbingProcess
from textdiff.text.canvas import Canvas

DRAWS = 32
"""Corruptions of a continuation for its bound, and rows at most for its exact sum."""
NEW_TOKENS = 128
"""Tokens to write where a task asks for no number."""


@dataclass(frozen=True)
class Question:
    """How likely a continuation is.

    Attributes:
        context: what stands before it; may be "".
        continuation: the text, with the space that parts the two.
        group: the same for all that are compared with each other.
    """

    context: str
    continuation: str
    group: object


@dataclass
class Tally:
    """How many likelihoods were exact, how many bounds, and how many contexts lost their beginning for want of room."""

    exact: int = 0
    bounds: int = 0
    cut: int = 0


@dataclass(frozen=True)
class Answers:
    """A model that is asked.

    Attributes:
        infiller: the model.
        draws: corruptions of a continuation.
        seed: of what is written with a temperature.
        on_progress: told what is done, how much, and how much there is.
        tally: what was counted.
    """

    infiller: Infiller
    draws: int = DRAWS
    seed: int = 0
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError(f"draws must be at least 1, got {self.draws}")
        self.infiller.require_documents()

    def likelihoods(self, questions: Sequence[Question]) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation, nats, and whether the model writes it at temperature 0, given its length.

        Raises:
            DataError: a continuation is longer than the model's context.
        """
        rows = [self._row(question) for question in questions]
        together: dict[object, list[int]] = {}
        for number, question in enumerate(questions):
            together.setdefault(question.group, []).append(number)
        short = {i for group in together.values() if all(self._summable(rows[i]) for i in group) for i in group}
        costs: dict[int, float] = {}
        for number in sorted(short):
            costs[number] = summed_nats(self._denoiser, self._process, rows[number], self.infiller.model.device)
            self.on_progress("exact likelihoods", len(costs), len(short))
        long = [number for number in range(len(rows)) if number not in short]
        costs |= zip(long, self._bounds([rows[i] for i in long]), strict=True)
        self.tally.exact += len(short)
        greedy = self._greedy(rows)
        return [(-costs[number], greedy[number]) for number in range(len(rows))]

    def whole(self, texts: Sequence[str]) -> list[float]:
        """The log-likelihood of each text, nats: in consecutive windows of the context, nothing carried over between them."""
        prefix = tuple(self.infiller.tokenizer.prefix_ids)
        size = self.infiller.context_length - len(prefix)
        rows: list[Continuation] = []
        owner: list[int] = []
        for number, ids in enumerate(self.infiller.tokenizer.encode_many(texts)):
            for start in range(0, len(ids), size):
                rows.append(Continuation(prefix, tuple(ids[start : start + size])))
                owner.append(number)
        totals = [0.0] * len(texts)
        for number, nats in zip(owner, self._bounds(rows), strict=True):
            totals[number] -= nats
        return totals

    def continuations(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """What the model writes behind each context, up to the first of the texts that it is to stop at.

        Of a task's options `until`, `max_gen_toks`, `do_sample`, `temperature`, `top_p` and `top_k` are heeded; without
        `do_sample` the temperature is 0.
        """
        plans = [self._plan(context, options) for context, options in asked]
        batches: dict[tuple[int, SamplerOptions], list[int]] = {}
        for number, (_, count, options) in enumerate(plans):
            batches.setdefault((count, options), []).append(number)
        texts = [""] * len(asked)
        done = 0
        for (count, options), numbers in batches.items():
            sampler = options.apply(self.infiller.samplers.generate)
            given = [plans[number][0] for number in numbers]
            model, tokenizer = self.infiller.model, self.infiller.tokenizer
            written = go_on(model, tokenizer, sampler, given, count, self.seed, numbers=numbers)
            for number, ids, known in zip(numbers, written.ids.tolist(), given, strict=True):
                text = passage(tokenizer, known, ids[len(known) : len(known) + count]).text
                healed = tokenizer.carries_spaces and asked[number][0].endswith(" ")
                texts[number] = _up_to(text.removeprefix(" ") if healed else text, asked[number][1].get("until"))
            done += len(numbers)
            self.on_progress("texts", done, len(asked))
        return texts

    def _row(self, question: Question) -> Continuation:
        """Tokens of both texts read together; one that reaches over their border belongs to the continuation."""
        tokenizer, room = (
            self.infiller.tokenizer,
            self.infiller.context_length - len(self.infiller.tokenizer.prefix_ids),
        )
        ids, ends = tokenizer.encode_with_ends(question.context + question.continuation)
        first = sum(end <= len(question.context) for end in ends)
        new = ids[first:]
        if len(new) > room:
            raise DataError(f"a continuation has {len(new)} tokens, and the model's context holds {room}")
        return Continuation(self._given(ids[:first], room - len(new)), tuple(new))

    def _given(self, context: Sequence[int], room: int) -> tuple[int, ...]:
        """The beginning of a document, and as much of the end of a context as there is room for."""
        kept = context[max(0, len(context) - room) :]
        self.tally.cut += len(kept) < len(context)
        return (*self.infiller.tokenizer.prefix_ids, *kept)

    def _plan(self, context: str, options: Mapping[str, Any]) -> tuple[tuple[int, ...], int, SamplerOptions]:
        """Given ids, how many tokens are to follow, and how. A context keeps half of the room at most where it is scarce."""
        tokenizer = self.infiller.tokenizer
        room = self.infiller.context_length - len(tokenizer.prefix_ids)
        ids = tokenizer.encode(context[:-1] if tokenizer.carries_spaces and context.endswith(" ") else context)
        count = min(int(options.get("max_gen_toks") or NEW_TOKENS), max(room - len(ids), room // 2, 1))
        warm = bool(options.get("do_sample"))
        temperature = float(options.get("temperature", 1.0)) if warm else 0.0
        sampling = SamplerOptions(
            temperature=temperature,
            top_p=options.get("top_p") if warm else None,
            top_k=options.get("top_k") if warm else None,
        )
        return self._given(ids, room - count), count, sampling

    def _bounds(self, rows: Sequence[Continuation]) -> list[float]:
        exact = self._process.left_to_right
        self.tally.exact += len(rows) * exact
        self.tally.bounds += len(rows) * (not exact)
        watch = lambda done: self.on_progress("likelihoods", done, len(rows))  # noqa: E731
        device = self.infiller.model.device
        return continuation_nats(self._denoiser, self._process, rows, self.draws, device, watch) if rows else []

    def _greedy(self, rows: Sequence[Continuation]) -> list[bool]:
        """Whether the sampler that fills gaps writes each continuation at temperature 0."""
        if not rows:
            return []
        infiller = self.infiller
        vocabulary = infiller.tokenizer.vocabulary
        ids = [[*row.given, *[vocabulary.pad_id] * len(row.new)] for row in rows]
        frozen = [[True] * len(row.given) + [False] * len(row.new) for row in rows]
        canvas = Canvas.of_rows(ids, frozen, [0] * len(rows), vocabulary)
        sampler = SamplerOptions(temperature=0.0).apply(infiller.samplers.infill)
        written = write(infiller.model, sampler, canvas, text_constraint(canvas, infiller.tokenizer)).ids.tolist()
        return [
            ids[len(row.given) : len(row.given) + len(row.new)] == [*row.new]
            for row, ids in zip(rows, written, strict=True)
        ]

    @property
    def _process(self) -> Any:
        return self.infiller.model.process

    @cached_property
    def _denoiser(self) -> Denoiser | Reader:
        return self.infiller.model.read if self._process.left_to_right else known_length(self.infiller)

    def _summable(self, row: Continuation) -> bool:
        plain = isinstance(self._process, AbsorbingProcess) and not self._process.left_to_right
        timeless = not self.infiller.model.backbone.uses_time
        return plain and timeless and can_be_summed(self._process, row, self.draws)


def _up_to(text: str, until: str | Sequence[str] | None) -> str:
    """The text before the first of these."""
    stops = [until] if isinstance(until, str) else [*(until or ())]
    return text[: min((text.find(stop) for stop in stops if stop and stop in text), default=len(text))]
