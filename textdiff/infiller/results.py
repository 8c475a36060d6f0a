"""What a user gets back."""

from __future__ import annotations

from dataclasses import dataclass

from textdiff.infiller.drafts import LengthOdds


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
class Alternative:
    """A text for a gap.

    Attributes:
        text: what it says.
        score: infilling log-likelihood, nats, of the likeliest fill that has this text here, all gaps together that may
            see each other: what alternatives are sorted by.
        confidence: see `GapFill`.
    """

    text: str
    score: float
    confidence: float


@dataclass(frozen=True)
class GapFill:
    """One gap and its text.

    Attributes:
        index: its number in the document, from 0.
        name: what the document calls it, or None.
        start_byte, end_byte: where its text stands in the filled document.
        text: what was written; the gap's markup where it is left open.
        score: its share of the infilling log-likelihood of the document's gaps, nats; None where nobody asked for it.
        confidence: how probable it is that just this text stood there; calibrated where the model brings a calibration.
        alternatives: the best first, which is the one in the document; () where only one was wanted.
        length_considered: the numbers of tokens that were thought of; () where there was no choice.
        visible_bytes: the first byte of the source document that the network saw for this gap and the one after the last.
        open: whether the gap is left open, because the confidence was too low.
    """

    index: int
    name: str | None
    start_byte: int
    end_byte: int
    text: str
    score: float | None
    confidence: float
    alternatives: tuple[Alternative, ...]
    length_considered: tuple[LengthOdds, ...]
    visible_bytes: tuple[int, int]
    open: bool


@dataclass(frozen=True)
class InfillResult:
    """A filled document.

    Attributes:
        document: its text.
        gaps: its fills, in order.
        stats: what it cost.
        model: the model's name.
        seed: the seed that gives this result again.
        fills: texts of all gaps, for each fill of the whole document that was wanted: distinct, the likeliest first.
    """

    document: str
    gaps: tuple[GapFill, ...]
    stats: Stats
    model: str
    seed: int
    fills: tuple[tuple[str, ...], ...]


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


@dataclass(frozen=True)
class Candidate:
    """One target of a source.

    Attributes:
        text: what it says.
        score: log p(target | source), nats: a bound, estimated, or exact from left to right; None where there is no choice.
        utility: the mean chrF with the other candidates for references, 0 to 100, where minimum Bayes risk decides, or None.
    """

    text: str
    score: float | None = None
    utility: float | None = None


@dataclass(frozen=True)
class Target:
    """What was made of a source.

    Attributes:
        text: the best candidate.
        candidates: all of them, the best first.
        network_calls: for all of them together, ranking included.
    """

    text: str
    candidates: tuple[Candidate, ...]
    network_calls: int
