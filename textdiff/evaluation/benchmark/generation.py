"""The generation metric of benchmarks; its protocol stands in `textdiff.evaluation.generation.running`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textdiff.errors import ConfigError, UsageError
from textdiff.evaluation.benchmark.metric import BenchmarkMetric, Figure, Subject
from textdiff.evaluation.benchmark.settings import Setting
from textdiff.evaluation.generation import GenerationTask, Scorer, evaluate_generation
from textdiff.registry import register


@register(BenchmarkMetric, "generation")
@dataclass(frozen=True)
class GenerationMetric(BenchmarkMetric):
    """Texts are written with each sampler, and the held-out text is set beside them.

    Attributes:
        samples: how many texts.
        new_tokens: of each.
        prompt_tokens: of held-out text that each goes on from; 0 writes from nothing.
        scorer: a left-to-right model, as for `--scorer`; without one there is no perplexity.
        reference: a file or several to look for copies in, read as the texts are.
        mauve: whether it is measured, by the scorer; it needs some thousand samples.
    """

    samples: int = 64
    new_tokens: int = 64
    prompt_tokens: int = 0
    scorer: str | None = None
    reference: str | tuple[str, ...] = ()
    mauve: bool = False
    title: ClassVar[str] = "Generation"
    explained: ClassVar[str] = (
        "Texts are written with each sampler, and as many pieces of the held-out text, equally long in tokens, are set beside "
        "them: texts should come near to these in all columns, and no column alone says how good they are. perplexity/piece: "
        "of the texts under an outside left-to-right model, its own pieces. text entropy: of the tokens of a text by their "
        "own counts in it, the mean over texts. repetition: the share of 4-grams of words that stood in the same text before. "
        "distinct-n: the share of all n-grams of words that are different. self-BLEU: of each text against all others. "
        "novelty: the share of 8-grams of words that the reference, such as the training text, does not have."
    )
    columns: ClassVar[tuple[str, ...]] = (
        "generative_perplexity",
        "mauve",
        "text_entropy",
        "repetition",
        "distinct_1",
        "distinct_2",
        "distinct_3",
        "self_bleu",
        "novelty",
        "network_calls",
    )
    by_calls: ClassVar[tuple[str, ...]] = ("generative_perplexity", "text_entropy", "repetition")
    calls: ClassVar[str | None] = "network_calls"
    files: ClassVar[tuple[str, ...]] = ("reference",)
    models: ClassVar[tuple[str, ...]] = ("scorer",)

    def __post_init__(self) -> None:
        if self.mauve and self.scorer is None:
            raise ConfigError("mauve compares the hidden states of a scorer: name one")
        try:
            self._task()
        except UsageError as error:
            raise ConfigError(str(error)) from None

    def settings(self, settings: Sequence[Setting]) -> Sequence[Setting | None]:
        return [None, *settings]

    def measure(self, subject: Subject) -> Iterator[Figure]:
        scorer = None if self.scorer is None else Scorer.load(self.scorer, subject.infiller.model.device)
        (row,) = evaluate_generation(
            subject.infiller,
            subject.files,
            [subject.setting.options if subject.setting else None],
            self._task(),
            scorer=scorer,
            seed=subject.seed,
            unit=subject.unit,
            column=subject.column,
            on_progress=lambda what, done, total: subject.on_progress(f"{what}: {done} of {total}"),
        )
        way = "" if subject.setting else "held-out text"
        return (Figure(score, way=way) for score in row.scores)

    def _task(self) -> GenerationTask:
        reference = (self.reference,) if isinstance(self.reference, str) else self.reference
        return GenerationTask(
            self.samples, self.new_tokens, self.prompt_tokens, tuple(map(Path, reference)), self.mauve
        )
