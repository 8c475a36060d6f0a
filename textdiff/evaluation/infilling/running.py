"""Infilling, measured: real texts with gaps cut into them, filled in several ways, and compared with what stood there.

The protocol, so that others can repeat it:

1. **Cases.** Gaps are cut out of held-out texts, by seed (`make_cases`): one word; 2 to 12 words, as many cases of each
   count; a sentence of 4 to 30 words; and documents with several gaps, 2 to 4 of 1 to 4 words each, with 1 to 8 given words
   between two. Words are parted by whitespace. A gap takes whole words of one line; the spaces around it stay in the given
   text, and so do marks that touch its first word in front or its last word behind. A sentence has its final marks. On
   either side 320 characters are shown, less where the model's context is too short (the signature says how many).
   A file may give its own cases instead, with several references (`given_cases`).
2. **Lengths.** `true`: the method is told how many tokens the true text has; `words`: how many words; `auto`, `model`,
   `search`: it has to find out; a number: so many tokens in every gap.
3. **Methods.** `joint`: `Infiller.infill`, all gaps of a document at once. Simple ones, with the same network:
   `gap_alone`: each gap by itself, the others being masks. `left_only`: each gap from left to right with everything to its
   right hidden, as a left-to-right model sees it. `masks_at_once`: a mask for each missing token (or word), and the most
   probable token at each of them, independently: what a fill-mask pipeline gives for several masks. `masks_in_turn`: the
   same from left to right, one mask after another, with what was filled in shown. And with no network `most_frequent`: the
   run of so many words that is the most frequent in all given text.
4. **Figures**, over gaps; standard errors by the jackknife over documents. `exact_match`: the text is one of the
   references, character by character. `token_accuracy`: tokens of the text, tokenised anew, that stand where the true text
   has them, at true length only. `bleu`, `chrf`: sacrebleu's, over all fills as one corpus, with its signature; BLEU counts
   n-grams no longer than the longest reference.
   `words_error`, `tokens_error`: mean absolute difference in length to the nearest reference, and `…_bias`, its mean with
   sign. `bits_per_byte`: the infilling NELBO of the true text under the law that a method draws from, given the number of
   tokens, over the bytes of the true text (see `manner_nats`); noise is the same for all methods. `fill_nelbo`: that of
   what a method wrote, under the joint law: how well its fills fit the text and each other. `calibration_error`,
   `brier_score`: of stated confidences against exact match. `calls`: network calls of a document over its gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import groupby
from typing import Any

from torch import Tensor

from textdiff.evaluation.infilling.likelihood import known_length, manner_nats
from textdiff.evaluation.infilling.methods import answer
from textdiff.evaluation.infilling.rows import JOINT, MANNERS, Manner, gap_ids, gap_rows
from textdiff.evaluation.infilling.scoring import Costs, FilledGap, differences, filled_gaps, scores
from textdiff.evaluation.infilling.sets import CaseSet
from textdiff.evaluation.infilling.ways import Way
from textdiff.evaluation.signing import digest, model_parts, sampler_digest
from textdiff.infiller import Infiller, SamplerOptions
from textdiff.metrics import Score, signature
from textdiff.processes import AbsorbingProcess
from textdiff.sampling import Sampler

COMPARED = ("exact_match", "token_accuracy", "bleu", "chrf", "bits_per_byte", "fill_nelbo")
Progress = Callable[[str, int, int], None]
_SAMPLING = tuple(each.name for each in fields(SamplerOptions))


@dataclass(frozen=True)
class Row:
    """The figures of one way of filling, over gaps of a kind and of so many words (None: all of the kind)."""

    kind: str
    words: int | None
    way: Way
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Contrast:
    """How much larger the figures of one way are than those of another, with paired standard errors."""

    kind: str
    first: Way
    second: Way
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class InfillReport:
    """Everything that was measured; `filled` has the gaps behind it, by kind and way."""

    rows: tuple[Row, ...]
    contrasts: tuple[Contrast, ...]
    filled: Mapping[tuple[str, Way], Sequence[FilledGap]] = field(repr=False)


def evaluate_infilling(
    infiller: Infiller,
    sets: Sequence[CaseSet],
    ways: Sequence[Way],
    *,
    seed: int = 0,
    repeats: int = 4,
    options: Mapping[str, Any] | None = None,
    score_fills: bool = False,
    on_progress: Progress = lambda what, done, total: None,
) -> InfillReport:
    """Fills all cases in all ways, and scores what comes out.

    Args:
        infiller: the model.
        sets: see `case_sets`.
        ways: how to fill; those that the model cannot do (masks in a model of other noise) are left out.
        seed: of the fills and of the noise.
        repeats: noise draws of each document for likelihoods.
        options: for `Infiller.infill`.
        score_fills: whether to measure `fill_nelbo`, which takes about as long again.
        on_progress: called with what is done, and how many documents of how many.

    Raises:
        UsageError: the model reads from left to right.
    """
    infiller.require_both_sides()
    able = [way for way in dict.fromkeys(ways) if _can(infiller, way)]
    parts = model_parts(infiller)
    rows: list[Row] = []
    contrasts: list[Contrast] = []
    filled: dict[tuple[str, Way], Sequence[FilledGap]] = {}
    for cases in sets:
        bench = _Bench(infiller, cases, parts, seed, repeats, options or {}, score_fills, on_progress)
        found = {way: bench.fill(way) for way in able}
        rows += [row for way, gaps in found.items() for row in bench.rows(way, gaps)]
        contrasts += bench.contrasts(Way("joint", "true"), found)
        filled |= {(cases.kind, way): gaps for way, gaps in found.items()}
    return InfillReport(tuple(rows), tuple(contrasts), filled)


def _can(infiller: Infiller, way: Way) -> bool:
    """Only absorbing noise has masks, and only with masks can a network be shown less than the document."""
    return way.method in ("joint", "most_frequent") or isinstance(infiller.model.process, AbsorbingProcess)


@dataclass(frozen=True)
class _Bench:
    """One set of cases and all that its figures depend on."""

    infiller: Infiller
    cases: CaseSet
    model: Mapping[str, object]
    seed: int
    repeats: int
    options: Mapping[str, Any]
    score_fills: bool
    on_progress: Progress

    def fill(self, way: Way) -> list[FilledGap]:
        """Fills all gaps, and measures what the true texts cost where the way says how many tokens they have."""
        cases = self.cases.cases
        answers = answer(self.infiller, cases, way, self.seed, self.options, self._report(way, "fills"))
        manner = next((manner for manner in MANNERS if manner.name == way.method), None)
        nats = own = None
        if manner is not None and way.length == "true":
            nats = self._nats([case.truth for case in cases], manner, self._report(way, "likelihood"))
        if self.score_fills:
            own = self._nats([found.texts for found in answers], JOINT, self._report(way, "likelihood of fills"))
        return filled_gaps(cases, answers, self.infiller.tokenizer, nats, own)

    def rows(self, way: Way, gaps: Sequence[FilledGap]) -> list[Row]:
        """The figures of all gaps, and where their lengths differ those of each number of words."""
        kind, sign = self.cases.kind, self._sign(way)
        found = [Row(kind, None, way, tuple(scores(gaps, way, sign)))]
        if kind in ("words", "several"):
            for words, some in groupby(sorted(gaps, key=_words), key=_words):
                found.append(Row(kind, words, way, tuple(scores([*some], way, f"{sign}|words:{words}"))))
        return found

    def contrasts(self, first: Way, filled: Mapping[Way, Sequence[FilledGap]]) -> list[Contrast]:
        """One way against each of the others, if it is there."""
        found = []
        for way in filled if first in filled else ():
            if way != first:
                gaps, sign = (filled[first], filled[way]), f"{self._sign(first)}|minus:{way}"
                made = differences(*gaps, (first, way), COMPARED, sign)
                found.append(Contrast(self.cases.kind, first, way, tuple(made)))
        return found

    def _nats(self, texts: Sequence[Sequence[str]], manner: Manner, on_rows: Callable[[int], None]) -> Costs:
        infiller, cases = self.infiller, self.cases.cases
        ids = [gap_ids(case, inside, infiller.tokenizer) for case, inside in zip(cases, texts, strict=True)]
        rows = gap_rows(cases, ids, infiller.tokenizer, infiller.context_length, self.seed)
        process, device = infiller.model.process, infiller.model.device
        nats = manner_nats(known_length(infiller), process, rows, manner, self.repeats, self.seed, device, on_rows)
        return [_by_gap(row, gap, len(case.truth)) for row, gap, case in zip(nats, rows.gap, cases, strict=True)]

    def _report(self, way: Way, what: str) -> Callable[[int], None]:
        return lambda done: self.on_progress(f"{self.cases.kind}, {way}, {what}", done, len(self.cases.cases))

    def _sign(self, way: Way) -> str:
        own: dict[str, object] = {"method": way.method, "length": way.length, "sampler": self._sampler}
        own |= {"steps": self._drawn.steps, "repeats": self.repeats, "seed": self.seed}
        return signature({**self.model, **self.cases.parts, "cases": self._digest, **own})

    @cached_property
    def _drawn(self) -> Sampler:
        """The sampler that is used."""
        asked = {key: self.options[key] for key in _SAMPLING if key in self.options}
        return SamplerOptions(**asked).apply(self.infiller.samplers.infill)

    @cached_property
    def _sampler(self) -> str:
        others = sorted((key, value) for key, value in self.options.items() if key not in _SAMPLING)
        return sampler_digest(self._drawn, *others)

    @cached_property
    def _digest(self) -> str:
        texts = [text for case in self.cases.cases for part in (case.given, *case.references) for text in part]
        return f"{len(self.cases.cases)}/{digest(texts)}"


def _words(gap: FilledGap) -> int:
    return gap.words


def _by_gap(nats: Tensor, gap: Tensor, count: int) -> list[float | None]:
    """The cost of each gap of a row; None where the model cannot write what stands there."""
    sums = [float(nats[gap == number].sum()) for number in range(count)]
    return [value if math.isfinite(value) else None for value in sums]
