"""The translation metric of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textdiff.corpus import PairOptions
from textdiff.errors import ConfigError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric, Figure, Subject
from textdiff.evaluation.benchmark.settings import Setting
from textdiff.evaluation.translation import evaluate_translation
from textdiff.infiller import SamplerOptions
from textdiff.registry import register


@register(BenchmarkMetric, "translation")
@dataclass(frozen=True)
class TranslationMetric(BenchmarkMetric):
    """Targets are written for the sources of pairs, and compared with their references: for models that learned from pairs.

    Attributes:
        limit: so many pairs, spread evenly; all by default.
        candidates: for each source.
        rerank: how one of them is chosen.
        source_column, target_column: the fields of a line of JSON.
    """

    limit: int | None = None
    candidates: int = 1
    rerank: Literal["likelihood", "mbr"] = "likelihood"
    source_column: str = "source"
    target_column: str = "target"
    title: ClassVar[str] = "Translation"
    explained: ClassVar[str] = (
        "Raw text on both sides: BLEU and chrF are sacrebleu's with its own tokeniser. length ratio: the words of all targets "
        "over those of their references."
    )
    by_calls: ClassVar[tuple[str, ...]] = ("bleu", "chrf")
    calls: ClassVar[str | None] = "network_calls"

    def __post_init__(self) -> None:
        if self.candidates < 1 or (self.limit is not None and self.limit < 1):
            raise ConfigError("limit and candidates must be at least 1")

    def settings(self, settings: Sequence[Setting]) -> Sequence[Setting | None]:
        return settings

    def measure(self, subject: Subject) -> Iterator[Figure]:
        options = subject.setting.options if subject.setting else SamplerOptions()
        sampler = options.apply(subject.infiller.samplers.infill)
        rows = evaluate_translation(
            subject.infiller,
            subject.files,
            (),
            pairs=PairOptions(self.source_column, self.target_column),
            limit=self.limit,
            options=SamplerOptions(sampler),
            n=self.candidates,
            rerank=self.rerank,
            seed=subject.seed,
            on_progress=lambda what, done, total: subject.on_progress(f"{what}: {done} of {total}"),
        )
        for row in rows:
            yield from map(Figure, row.scores)
