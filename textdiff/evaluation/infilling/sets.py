"""The cases of a run, from files of texts and of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textdiff.corpus import Unit, load_corpus
from textdiff.errors import DataError, UsageError
from textdiff.evaluation.infilling.cases import CONTEXT, KINDS, WORDS, GapCase, check_kind, make_cases
from textdiff.evaluation.infilling.given import given_cases, holds_cases
from textdiff.infiller import Infiller

_SPARE = 32  # positions that are left for gaps whose length has to be found out
_LEAST = 16


@dataclass(frozen=True)
class CaseSet:
    """Cases of one kind, and how they came to be: parts of a signature."""

    cases: tuple[GapCase, ...]
    parts: Mapping[str, object]

    @property
    def kind(self) -> str:
        return self.cases[0].kind


def case_sets(
    infiller: Infiller,
    files: Sequence[str | Path],
    kinds: Sequence[str] = KINDS,
    count: int = 100,
    seed: int = 0,
    context: int = CONTEXT,
    words: tuple[int, int] = WORDS,
    unit: Unit = "file",
    column: str = "text",
) -> list[CaseSet]:
    """The cases of some files: those that they give, and so many of each kind that are cut out of the texts.

    Args:
        infiller: the model, which has to see a whole case at once: the context is halved until all of a kind fit.
        files: see `given_cases` for cases, `load_corpus` for texts.
        kinds: of `KINDS`, for the texts.
        count: of each kind; of given cases so many, spread evenly.
        seed: of the places of gaps.
        context: characters on either side of the gaps.
        words: the least and the greatest number of words, of the kind "words".
        unit, column: see `load_corpus`.

    Raises:
        DataError: a file cannot be used, or there is no room for so many cases.
        UsageError: an unknown kind, or a number out of range.
    """
    if count < 1 or context < 1 or not 1 <= words[0] <= words[1]:
        raise UsageError("the number of cases, of words and of characters around them must be at least 1")
    for kind in kinds:
        check_kind(kind)
    found: list[CaseSet] = []
    giving = [path for path in map(Path, files) if holds_cases(path)]
    reading = [path for path in map(Path, files) if path not in giving]
    if giving:
        cases = [case for path in giving for case in given_cases(path)]
        chosen = [cases[i * len(cases) // count] for i in range(count)] if count < len(cases) else cases
        found.append(CaseSet(tuple(chosen), {"gaps": "given"}))
    if reading or not giving:
        texts = list(load_corpus(reading, unit, column))
        found += [cut_cases(infiller, texts, kind, count, seed, context, words) for kind in dict.fromkeys(kinds)]
    return found


def cut_cases(
    infiller: Infiller,
    texts: Sequence[str],
    kind: str,
    count: int,
    seed: int,
    context: int,
    words: tuple[int, int],
) -> CaseSet:
    """Cases cut out of texts, with as much context as fits, at most what is asked for; see `case_sets`."""
    shown = context
    while True:
        cases = make_cases(texts, kind, count, seed, shown, words)
        if _fit(cases, infiller):
            size = {"words": f"{words[0]}-{words[1]}"} if kind == "words" else {}
            return CaseSet(tuple(cases), {"gaps": kind, **size, "shown": shown, "case_seed": seed})
        if shown <= _LEAST:
            raise DataError(f"the model's context of {infiller.context_length} tokens is too short for such cases")
        shown //= 2


def _fit(cases: Sequence[GapCase], infiller: Infiller) -> bool:
    tokenizer = infiller.tokenizer
    texts = tokenizer.encode_many([case.filled(case.truth) for case in cases])
    ends = len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
    return max(map(len, texts)) + ends + _SPARE <= infiller.context_length
