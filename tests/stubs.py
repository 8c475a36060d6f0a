"""A model that fills gaps at once, and tells what it was asked: for tests of everything around it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from textdiff.errors import DataError
from textdiff.infiller import GapFill, InfillResult, Stats
from textdiff.text.document import Document


class StubInfiller:
    """Writes "filled S" into each gap, S being the seed. A document that says IMPOSSIBLE cannot be filled.

    Attributes:
        filled: the sources of the documents that it filled, each with a line in the log file where there is one.
        calls: how many documents each call had.
    """

    tokenizer = None

    def __init__(self, log: Path | None = None) -> None:
        self.filled: list[str] = []
        self.calls: list[int] = []
        self._log = log

    def infill(self, documents: Any, *, seed: int = 0, **options: Any) -> Any:
        listed = documents if isinstance(documents, list) else [documents]
        self.calls.append(len(listed))
        texts = [document.source.decode() for document in listed]
        if any("IMPOSSIBLE" in text for text in texts):
            raise DataError("gap 1 cannot be had")
        self.filled += texts
        if self._log is not None:
            with self._log.open("a", encoding="utf8") as file:
                file.writelines(f"{text!r}\n" for text in texts)
        results = [stub_result(document, [f"filled {seed}"] * len(document.gaps), seed) for document in listed]
        return results if isinstance(documents, list) else results[0]


def stub_result(document: Document, texts: list[str | None], seed: int = 0, **facts: Any) -> InfillResult:
    """What comes of a document whose gaps get these texts, None leaving one open; `facts` hold for each gap."""
    filled = document.fill(texts)
    gaps = []
    for gap, text, (start, end) in zip(document.gaps, texts, filled.spans, strict=True):
        known = {"index": gap.index, "name": gap.name, "start_byte": start, "end_byte": end, "open": text is None}
        known |= {"text": gap.markup if text is None else text, "score": -1.0, "confidence": 0.25} | facts
        gaps.append(_made(GapFill, known))
    stats = Stats(1, 1, len(gaps), 0.0)
    known = {"document": filled.text, "gaps": tuple(gaps), "stats": stats, "model": "stub", "seed": seed}
    return _made(InfillResult, known)


def _made(kind: Any, known: dict[str, Any]) -> Any:
    """An object of a dataclass; what is not known of it is ()."""
    made = kind(**{field.name: known.get(field.name, ()) for field in fields(kind)})
    for name, value in known.items():
        object.__setattr__(made, name, value)
    return made
