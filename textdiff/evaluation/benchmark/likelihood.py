"""The likelihood metrics of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from textdiff.errors import ConfigError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric, Figure, Subject
from textdiff.evaluation.running import evaluate
from textdiff.metrics import LevelProfile, Score
from textdiff.objectives import estimator_for
from textdiff.registry import register


@register(BenchmarkMetric, "nelbo")
@dataclass(frozen=True)
class NelboMetric(BenchmarkMetric):
    """How well the texts are predicted: nats a token, bits a byte, perplexities, and the bound by noise level.

    Attributes:
        repeats: noise draws for each window.
        max_windows: score so many windows, spread evenly; all by default.
        stride: of sliding windows; by default they do not overlap. See `evaluate`.
    """

    repeats: int = 1
    max_windows: int | None = None
    stride: int | None = None
    title: ClassVar[str] = "Likelihood"
    explained: ClassVar[str] = (
        "How well the texts are predicted, the lower the better. The NELBO is an upper bound, and so are the figures made from "
        "it; the NLL of a left-to-right model is exact. Bounds of different noise families are no ranking."
    )
    curves: ClassVar[tuple[str, ...]] = ("cross_entropy", "nelbo_integrand")

    def __post_init__(self) -> None:
        if self.repeats < 1 or (self.max_windows is not None and self.max_windows < 1):
            raise ConfigError("repeats and max_windows must be at least 1")
        if self.stride is not None and self.stride < 1:
            raise ConfigError(f"stride must be at least 1, got {self.stride}")

    def measure(self, subject: Subject) -> Iterator[Figure]:
        profile = LevelProfile()
        scores = evaluate(
            subject.infiller,
            subject.files,
            ["nelbo"],
            repeats=self.repeats,
            max_windows=self.max_windows,
            seed=subject.seed,
            unit=subject.unit,
            column=subject.column,
            stride=self.stride,
            on_windows=lambda done: subject.on_progress(f"{done} windows"),
            profile=profile,
        )
        yield from map(Figure, scores)
        estimator = estimator_for(subject.infiller.model.process)
        if estimator.exact:  # has no noise levels
            return
        for part in profile.bins():
            sign = f"{scores[0].signature}|levels:{part.low:g}-{part.high:g}"
            score = Score(estimator.integrand, part.nats, "nats/token", part.corruptions, part.standard_error, sign)
            yield Figure(score, axis=estimator.axis, at=part.level)


@register(BenchmarkMetric, "entropy")
@dataclass(frozen=True)
class EntropyMetric(BenchmarkMetric):
    """What counting alone reaches on the same texts: entropies of their tokens, alone and given the one before."""

    title: ClassVar[str] = "Entropy of the texts"
    explained: ClassVar[str] = (
        "What counting the tokens of these very texts reaches, alone and given the token before: of a small text it is low, as "
        "the counts know the text."
    )

    def measure(self, subject: Subject) -> Iterator[Figure]:
        found = evaluate(
            subject.infiller,
            subject.files,
            ["entropy"],
            seed=subject.seed,
            unit=subject.unit,
            column=subject.column,
        )
        yield from map(Figure, found)
