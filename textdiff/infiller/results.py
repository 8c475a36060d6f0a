"""What a user gets back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """What a call cost.

    Attributes:
        steps: sampler steps of the longest row.
        nfe: network calls of the row that had the most.
        tokens: tokens written, fillers included.
        seconds: of the whole batch that the document was in.
    """

    steps: int
    nfe: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class GapFill:
    """One filled gap.

    Attributes:
        index: its number in the document, from 0.
        name: what the document calls it, or None.
        start_byte, end_byte: where its text stands in the filled document.
        text: what was written.
        score: mean log-probability of its tokens when they were written, nats; higher is more certain.
    """

    index: int
    name: str | None
    start_byte: int
    end_byte: int
    text: str
    score: float


@dataclass(frozen=True)
class InfillResult:
    """A filled document.

    Attributes:
        document: its text.
        gaps: its fills, in order.
        stats: what it cost.
        model: the model's name.
        seed: the seed that gives this result again.
    """

    document: str
    gaps: tuple[GapFill, ...]
    stats: Stats
    model: str
    seed: int


@dataclass(frozen=True)
class Sample:
    """A generated text, its prompt included; `tokens` were written."""

    text: str
    tokens: int


@dataclass(frozen=True)
class GenerateResult:
    """Generated texts. Sample i depends on (seed, i) only."""

    samples: tuple[Sample, ...]
    stats: Stats
    model: str
    seed: int
