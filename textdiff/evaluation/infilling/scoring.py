"""Figures of filled gaps: how often right, how near, how long, at what cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textdiff.evaluation.infilling.cases import GapCase
from textdiff.evaluation.infilling.rows import gap_ids
from textdiff.evaluation.infilling.ways import Answer, Way
from textdiff.metrics import (
    Score,
    brier_parts,
    calibration_error,
    calibration_parts,
    jackknife,
    length_excess,
    overlap,
    ratio,
)
from textdiff.metrics.jackknife import Figure, Parts
from textdiff.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class FilledGap:
    """A gap, what stood there and what was written.

    Attributes:
        case: the number of its case: the gaps of a document are not independent of each other.
        words: of the true text.
        references: what may stand there, the true text first.
        text: what was written.
        ids, true_ids: tokens of what was written, read anew from its text, and of the true text.
        sizes: how many tokens each reference has.
        confidence: that the text is right, or None.
        calls: network calls of the document over its gaps.
        nats: infilling NELBO of the true text, or None.
        own: infilling NELBO of what was written, all gaps at once, or None.
    """

    case: int
    words: int
    references: tuple[str, ...]
    text: str
    ids: tuple[int, ...]
    true_ids: tuple[int, ...]
    sizes: tuple[int, ...]
    confidence: float | None
    calls: float
    nats: float | None = None
    own: float | None = None

    @property
    def hit(self) -> bool:
        """Whether the text is one of the references, character by character."""
        return self.text in self.references


Costs = Sequence[Sequence[float | None]]


def filled_gaps(
    cases: Sequence[GapCase],
    answers: Sequence[Answer],
    tokenizer: Tokenizer,
    nats: Costs | None = None,
    own: Costs | None = None,
) -> list[FilledGap]:
    """All gaps of all cases, with the costs [case][gap] where they are known."""
    gaps = []
    sizes = [[_sizes(case, i, tokenizer) for i in range(len(case.references))] for case in cases]
    for number, (case, found) in enumerate(zip(cases, answers, strict=True)):
        true, ids = (gap_ids(case, texts, tokenizer) for texts in (case.truth, found.texts))
        for i, (references, text) in enumerate(zip(case.references, found.texts, strict=True)):
            gaps.append(
                FilledGap(
                    case=number,
                    words=len(references[0].split()),
                    references=references,
                    text=text,
                    ids=tuple(ids[i]),
                    true_ids=tuple(true[i]),
                    sizes=sizes[number][i],
                    confidence=found.confidences[i],
                    calls=found.calls / len(true),
                    nats=nats[number][i] if nats else None,
                    own=own[number][i] if own else None,
                )
            )
    return gaps


def _sizes(case: GapCase, gap: int, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Tokens of each reference of a gap."""
    texts = [[*case.truth[:gap], text, *case.truth[gap + 1 :]] for text in case.references[gap]]
    return tuple(len(gap_ids(case, filled, tokenizer)[gap]) for filled in texts)


@dataclass(frozen=True)
class Measure:
    """A figure of some gaps, made of what each of them adds to some sums.

    Attributes:
        name, unit: of the score.
        parts: [gaps, S]; a gap that does not count adds nothing.
        figure: from the sums to the value.
        n: how many of what the figure counts there are.
        signature: what is said beside the signature of the whole.
    """

    name: str
    unit: str
    parts: Parts
    figure: Figure
    n: int
    signature: str = ""

    def signed(self, sign: str) -> str:
        """The whole signature."""
        return f"{sign}|{self.signature}" if self.signature else sign


def measures(gaps: Sequence[FilledGap], length: str) -> list[Measure]:
    """All figures that these gaps have, given what the method was told about `length`."""
    found = [_mean("exact_match", "share", [(gap.hit, 1) for gap in gaps])]
    if length == "true":
        found.append(_mean("token_accuracy", "share", [(_same_tokens(gap), len(gap.true_ids)) for gap in gaps]))
    texts, references = [gap.text for gap in gaps], [gap.references for gap in gaps]
    for name in ("bleu", "chrf"):
        made = overlap(name, texts, references)
        found.append(Measure(name, "0-100", made.parts, made.value, len(gaps), f"scorer:sacrebleu|{made.signature}"))
    words = [length_excess(len(gap.text.split()), (len(text.split()) for text in gap.references)) for gap in gaps]
    tokens = [length_excess(len(gap.ids), gap.sizes) for gap in gaps]
    for unit, errors in (("words", words), ("tokens", tokens)):
        found.append(_mean(f"{unit}_error", unit, [(abs(error), 1) for error in errors]))
        found.append(_mean(f"{unit}_bias", unit, [(error, 1) for error in errors]))
    found.append(_mean("calls", "network calls/gap", [(gap.calls, 1) for gap in gaps]))
    return found + _costs(gaps) + _confidences(gaps)


def _mean(name: str, unit: str, pairs: Sequence[tuple[float, float]]) -> Measure:
    parts = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Measure(name, unit, parts, ratio, int(parts[:, 1].sum()))


def _costs(gaps: Sequence[FilledGap]) -> list[Measure]:
    found = []
    if any(gap.nats is not None for gap in gaps):
        size = [len(gap.references[0].encode()) for gap in gaps]
        pairs = [(0.0, 0) if g.nats is None else (g.nats / math.log(2), n) for g, n in zip(gaps, size, strict=True)]
        found.append(_mean("bits_per_byte", "bits/byte", pairs))
    if any(gap.own is not None for gap in gaps):
        pairs = [(0.0, 0) if gap.own is None else (gap.own, len(gap.ids)) for gap in gaps]
        found.append(_mean("fill_nelbo", "nats/token", pairs))
    return found


def _confidences(gaps: Sequence[FilledGap]) -> list[Measure]:
    stated = [gap for gap in gaps if gap.confidence is not None]
    if not stated:
        return []
    values, hits = [float(gap.confidence or 0.0) for gap in stated], [gap.hit for gap in stated]
    parts: list[tuple[str, Parts, Figure]] = [
        ("calibration_error", calibration_parts(values, hits), calibration_error),
        ("brier_score", brier_parts(values, hits), ratio),
    ]
    where = [gap.confidence is not None for gap in gaps]
    found = []
    for name, rows, figure in parts:
        whole = np.zeros((len(gaps), rows.shape[1]))
        whole[where] = rows
        found.append(Measure(name, "probability", whole, figure, len(stated)))
    return found


def _same_tokens(gap: FilledGap) -> int:
    return sum(a == b for a, b in zip(gap.ids, gap.true_ids, strict=False))


def scores(gaps: Sequence[FilledGap], way: Way, sign: str) -> list[Score]:
    """The figures with standard errors over cases."""
    found = []
    for measure in measures(gaps, way.length):
        value, error = jackknife(by_case(measure.parts, gaps), measure.figure)
        found.append(Score(measure.name, value, measure.unit, measure.n, error, measure.signed(sign)))
    return found


def differences(
    first: Sequence[FilledGap], second: Sequence[FilledGap], ways: tuple[Way, Way], names: Sequence[str], sign: str
) -> list[Score]:
    """How much larger figures are in the first of two ways of filling the same gaps, with paired standard errors."""
    others = {measure.name: measure for measure in measures(second, ways[1].length)}
    found = []
    for one in measures(first, ways[0].length):
        if one.name in names and one.name in others:
            value, error = _difference(one, others[one.name], first)
            found.append(Score(one.name, value, one.unit, one.n, error, one.signed(sign)))
    return found


def _difference(one: Measure, other: Measure, gaps: Sequence[FilledGap]) -> tuple[float, float]:
    width = one.parts.shape[1]
    parts = by_case(np.concatenate([one.parts, other.parts], 1), gaps)
    return jackknife(parts, lambda total: one.figure(total[:width]) - other.figure(total[width:]))


def by_case(parts: Parts, gaps: Sequence[FilledGap]) -> Parts:
    """[cases, S]: the parts of the gaps of each case, added up."""
    numbers = np.unique([gap.case for gap in gaps], return_inverse=True)[1]
    total = np.zeros((int(numbers.max()) + 1, parts.shape[1]))
    np.add.at(total, numbers, parts)
    return total
