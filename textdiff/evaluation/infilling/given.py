"""Cases that a file gives: what stands before, what may stand between, what stands after."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textdiff.errors import DataError
from textdiff.evaluation.infilling.cases import GapCase

FORMS = (("before", "middle", "after"), ("obs1", "gold_labels", "obs2"), ("prompt", "canonical_solution", "suffix"))
"""The keys of our own files, of aNLG, and of HumanEval infilling."""

_OPENERS = {".gz": gzip.open, ".xz": lzma.open}


def holds_cases(path: Path) -> bool:
    """Whether a file's name says JSON and its first row has the keys of one of `FORMS`."""
    if not {".json", ".jsonl"} & {*path.suffixes[-2:]} or not path.is_file():
        return False
    try:
        return _form(next(_rows(path), {})) is not None
    except DataError:
        return False  # whoever reads it as a table says what is wrong with it


def given_cases(path: Path) -> list[GapCase]:
    """The cases of a JSON Lines file (`.jsonl`), or of one JSON list or object of rows (`.json`); `.gz` and `.xz` too.

    The middle is a text or a list of texts, all of them references. The parts of an aNLG row are sentences, with one space
    between them; those of the other forms are taken as they stand.

    Raises:
        DataError: a row lacks a key, or one of its texts is no text or empty.
    """
    cases = []
    for number, row in enumerate(_rows(path), start=1):
        form = _form(row)
        if form is None:
            raise DataError(f"{path}, row {number}: found the keys {', '.join(row)}; needed are {', '.join(FORMS[0])}")
        before, middle, after = (row[key] for key in form)
        middles = [middle] if isinstance(middle, str) else middle
        texts = [before, after, *middles] if isinstance(middles, list) else [None]
        if not all(isinstance(text, str) for text in texts) or not middles or not all(middles):
            raise DataError(f"{path}, row {number}: {', '.join(form)} must be texts, the middle not empty")
        if form == FORMS[1]:
            before, after, middles = f"{before.strip()} ", f" {after.strip()}", [text.strip() for text in middles]
        cases.append(GapCase("given", (before, after), (tuple(dict.fromkeys(middles)),)))
    if not cases:
        raise DataError(f"{path} holds no cases")
    return cases


def _form(row: Mapping[str, Any]) -> tuple[str, str, str] | None:
    return next((form for form in FORMS if all(key in row for key in form)), None)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of JSON Lines, or the items or values of one JSON list or object."""
    opener: Any = _OPENERS.get(path.suffix, open)
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            if ".json" in path.suffixes[-2:]:
                value = json.load(file)
                values: Iterable[Any] = (
                    value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
                )
            else:
                values = (json.loads(line) for line in file if line.strip())
            for number, row in enumerate(values, start=1):
                if not isinstance(row, dict):
                    raise DataError(f"{path}, row {number}: expected a JSON object, found {str(row)[:40]!r}")
                yield row
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise DataError(f"{path}, row {number + 1}: {error}") from None
