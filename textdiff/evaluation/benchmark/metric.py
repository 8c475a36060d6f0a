"""What a benchmark measures in one of its cells: a model on some texts, and where it draws, with a sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textdiff.corpus import Unit
from textdiff.evaluation.benchmark.settings import Setting
from textdiff.infiller import Infiller
from textdiff.metrics import Score
from textdiff.registry import family


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        infiller: the model.
        files, unit, column: the texts; see `load_corpus`.
        setting: how the model draws; None for metrics, or parts of one, that do not draw from the model.
        seed: of all randomness.
        on_progress: told what is done.
    """

    infiller: Infiller
    files: Sequence[Path]
    unit: Unit = "file"
    column: str = "text"
    setting: Setting | None = None
    seed: int = 0
    on_progress: Callable[[str], None] = field(default=lambda done: None)


@dataclass(frozen=True)
class Figure:
    """A number of a report, and where it belongs.

    Attributes:
        score: the number.
        group: of what it is, where a metric measures several things that are not compared: a heading.
        way: how it was reached, where there are several ways that are compared: a row.
        axis, at: a place on an axis such as the number of words of a gap, where the number belongs to a curve; else "", None.
    """

    score: Score
    group: str = ""
    way: str = ""
    axis: str = ""
    at: float | None = None


@family
class BenchmarkMetric(ABC):
    """A frozen dataclass; its fields are keys of the suite.

    Attributes:
        title: the heading in reports.
        explained: what a reader of the tables should know, in sentences.
        columns: names of the scores that tables show; by default all.
        curves: names of the scores that are drawn along the axes of figures.
        by_calls: names of the scores that are drawn over network calls.
        calls: the name of the score that counts those, if there is one.
        files, models: fields that name files from outside, or one model. Their relative paths are found as
            those of a suite's other files and models, and what is in them belongs to the suite.
    """

    title: ClassVar[str]
    explained: ClassVar[str] = ""
    columns: ClassVar[tuple[str, ...]] = ()
    curves: ClassVar[tuple[str, ...]] = ()
    by_calls: ClassVar[tuple[str, ...]] = ()
    calls: ClassVar[str | None] = None
    files: ClassVar[tuple[str, ...]] = ()
    models: ClassVar[tuple[str, ...]] = ()

    def settings(self, settings: Sequence[Setting]) -> Sequence[Setting | None]:
        """With which of the suite's samplers it is measured, a cell each. By default once, with none: nothing is drawn."""
        return (None,)

    def named(self, field: str) -> tuple[str, ...]:
        """What a field of `files` or `models` names."""
        value = getattr(self, field)
        return () if value is None else (value,) if isinstance(value, str) else tuple(value)

    @abstractmethod
    def measure(self, subject: Subject) -> Iterable[Figure]:
        """Measures.

        Raises:
            UsageError: the metric is not defined for this model, or the sampler does not fit it: the report says so.
            TextdiffError: any other ends the run.
        """
