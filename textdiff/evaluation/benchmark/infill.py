"""The infilling metric of benchmarks; its protocol stands in `textdiff.evaluation.infilling.running`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textdiff.errors import ConfigError, UsageError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric, Figure, Subject
from textdiff.evaluation.benchmark.settings import Setting
from textdiff.evaluation.infilling import (
    CONTEXT,
    InfillReport,
    Way,
    case_sets,
    check_kind,
    evaluate_infilling,
    joint_way,
    way_of,
)
from textdiff.registry import register

_BY_WORDS = ("exact_match", "chrf", "words_error", "bits_per_byte")
_GROUPS = {
    "given": "given gaps",
    "word": "one word",
    "words": "several words",
    "sentence": "a sentence",
    "several": "several gaps in a document",
}


@register(BenchmarkMetric, "infill")
@dataclass(frozen=True)
class InfillMetric(BenchmarkMetric):
    """Gaps are cut out of the texts, filled with each sampler, and compared with what stood there.

    Attributes:
        cases: so many documents of each kind.
        kinds: kinds of gaps: word, words, sentence, several.
        words: the least and the greatest number of words, of the kind "words".
        lengths: what the infiller is told about lengths: true, words, auto, model, search, or a number of tokens.
        methods: simple ones to compare with, such as masks_in_turn/true; measured once, as no sampler matters to them.
        context: characters of text on either side.
        repeats: noise draws for likelihoods.
        score_fills: whether to measure how likely the fills are, which takes about as long again.
    """

    cases: int = 100
    kinds: tuple[str, ...] = ("words",)
    words: tuple[int, int] = (2, 12)
    lengths: tuple[str | int, ...] = ("true", "auto")
    methods: tuple[str, ...] = ()
    context: int = CONTEXT
    repeats: int = 4
    score_fills: bool = True
    title: ClassVar[str] = "Infilling"
    explained: ClassVar[str] = (
        "Words are cut out of the texts, filled, and compared with what stood there. Methods are named METHOD/LENGTH. joint: "
        "textdiff fills all gaps of a document at once, in a number of refinement steps; gap_alone: one gap at a time; "
        "left_only: the same network sees nothing to the right of a gap; masks_at_once, masks_in_turn: what fill-mask users "
        "do, all masks in one call, or one after the other; most_frequent: no network. The length is what the method is told: "
        "true (tokens) or words of the original, auto, model or search (to be found), or a number of tokens. "
        "bits/byte is the bound of the original given the number of its tokens, under the law that the method draws from, "
        "whatever the sampler; NELBO of the fills says how well what was written fits the text, the lower the better."
    )
    columns: ClassVar[tuple[str, ...]] = (
        "exact_match",
        "token_accuracy",
        "chrf",
        "words_error",
        "bits_per_byte",
        "fill_nelbo",
        "calls",
    )
    curves: ClassVar[tuple[str, ...]] = ("exact_match", "chrf", "bits_per_byte")
    by_calls: ClassVar[tuple[str, ...]] = ("exact_match", "chrf", "fill_nelbo")
    calls: ClassVar[str | None] = "calls"

    def __post_init__(self) -> None:
        if min(self.cases, self.context, self.repeats) < 1 or not 1 <= self.words[0] <= self.words[1]:
            raise ConfigError("cases, context, repeats and words must be at least 1, the lesser number of words first")
        try:
            for kind in self.kinds:
                check_kind(kind)
            self._ways(drawn=True)
            self._ways(drawn=False)
        except UsageError as error:
            raise ConfigError(str(error)) from None
        if not self.kinds or not (self.lengths or self.methods):
            raise ConfigError("an infilling metric needs kinds, and lengths or methods")

    def settings(self, settings: Sequence[Setting]) -> Sequence[Setting | None]:
        return [*(settings if self.lengths else ()), *([None] if self.methods else ())]

    def measure(self, subject: Subject) -> Iterator[Figure]:
        sets = case_sets(
            subject.infiller,
            subject.files,
            self.kinds,
            self.cases,
            subject.seed,
            self.context,
            self.words,
            subject.unit,
            subject.column,
        )
        report = evaluate_infilling(
            subject.infiller,
            sets,
            self._ways(drawn=subject.setting is not None),
            seed=subject.seed,
            repeats=self.repeats,
            options=subject.setting.call_options() if subject.setting else {},
            score_fills=self.score_fills,
            on_progress=lambda what, done, total: subject.on_progress(f"{what}: {done} of {total}"),
        )
        return _figures(report)

    def _ways(self, drawn: bool) -> list[Way]:
        return [joint_way(str(length)) for length in self.lengths] if drawn else [way_of(name) for name in self.methods]


def _figures(report: InfillReport) -> Iterator[Figure]:
    for row in report.rows:
        group, axis = _GROUPS[row.kind], "" if row.words is None else "words"
        for score in row.scores:
            if row.words is None or score.name in _BY_WORDS:
                yield Figure(score, group, str(row.way), axis, row.words)
