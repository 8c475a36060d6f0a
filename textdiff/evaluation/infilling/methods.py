"""Fills the gaps of cases, by the infiller itself or by one of the simple ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textdiff.evaluation.infilling.baselines import fill_frequent, fill_in_turns
from textdiff.evaluation.infilling.cases import GapCase
from textdiff.evaluation.infilling.rows import MANNERS, gap_ids
from textdiff.evaluation.infilling.ways import Answer, Way
from textdiff.infiller import Infiller
from textdiff.text.document import GapLength
from textdiff.text.tokenizers import Tokenizer

BATCH = 32
Progress = Callable[[int], None]


def answer(
    infiller: Infiller,
    cases: Sequence[GapCase],
    way: Way,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    on_cases: Progress = lambda done: None,
) -> list[Answer]:
    """Fills all gaps of all cases in one way; `options` go to `Infiller.infill`."""
    if way.method == "joint":
        return _fill_jointly(infiller, cases, way.length, seed, options or {}, on_cases)
    if way.method == "most_frequent":
        return fill_frequent(cases, way.length)
    manner = next(manner for manner in MANNERS if manner.name == way.method)
    return fill_in_turns(infiller, cases, manner, way.length, seed, on_cases)


def _fill_jointly(
    infiller: Infiller,
    cases: Sequence[GapCase],
    length: str,
    seed: int,
    options: Mapping[str, Any],
    on_cases: Progress,
) -> list[Answer]:
    """Documents in batches; each batch has a seed of its own, so that their chances are not all the same."""
    # scores are of no use here, and cost network calls
    asked = {"score": False, "length": length if length in ("model", "search") else "auto", **options}
    answers: list[Answer] = []
    for number, start in enumerate(range(0, len(cases), BATCH)):
        some = cases[start : start + BATCH]
        documents = [case.document(asked_lengths(case, length, infiller.tokenizer)) for case in some]
        for result in infiller.infill(documents, seed=seed + number, **asked):
            confidences = tuple(gap.confidence for gap in result.gaps)
            answers.append(Answer(tuple(gap.text for gap in result.gaps), confidences, result.stats.nfe))
        on_cases(len(answers))
    return answers


def asked_lengths(case: GapCase, length: str, tokenizer: Tokenizer) -> list[GapLength | None]:
    """What the document of a case asks for, gap by gap."""
    if length == "true":
        counts = [len(ids) for ids in gap_ids(case, case.truth, tokenizer)]
        return [GapLength(count, count, "tokens") for count in counts]
    if length == "words":
        return [GapLength(count, count, "words") for count in (len(text.split()) for text in case.truth)]
    if length.isdecimal():
        return [GapLength(int(length), int(length), "tokens")] * len(case.truth)
    return [None] * len(case.truth)
