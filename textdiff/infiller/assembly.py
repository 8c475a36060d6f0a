"""From fills of a document's parts to what a user gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textdiff.infiller.calibration import Calibration
from textdiff.infiller.drafts import Plan
from textdiff.infiller.filling import Fill
from textdiff.infiller.results import Alternative, GapFill, InfillResult, Stats
from textdiff.text.document import Document


@dataclass(frozen=True)
class Assembly:
    """A document, and the fills of its parts: the best first.

    Attributes:
        document: what was filled.
        parts: its stretches.
        fills: of each part.
        calibration: for confidences.
    """

    document: Document
    parts: Sequence[Plan]
    fills: Sequence[Sequence[Fill]]
    calibration: Calibration

    def result(self, n: int, least: float | None, seconds: float, model: str, seed: int) -> InfillResult:
        """What came of it.

        Args:
            n: how many fills were wanted.
            least: confidence below which a gap is left open, or None.
            seconds: that it took.
            model: its name.
            seed: that the document was filled with.
        """
        homes = [(part, i) for part, plan in enumerate(self.parts) for i in range(len(plan.outline.gaps))]
        best = [fills[0] for fills in self.fills]
        confidences = [self.calibration.confidence(best[part].log_p[i]) for part, i in homes]
        closed = [least is None or value >= least for value in confidences]
        texts = self._texts(0)
        filled = self.document.fill([text if use else None for text, use in zip(texts, closed, strict=True)])
        gaps = []
        for gap, (part, i), (start, end) in zip(self.document.gaps, homes, filled.spans, strict=True):
            scores = best[part].scores
            gaps.append(
                GapFill(
                    index=gap.index,
                    name=gap.name,
                    start_byte=start,
                    end_byte=end,
                    text=texts[gap.index] if closed[gap.index] else gap.markup,
                    score=None if scores is None else scores[i],
                    confidence=confidences[gap.index],
                    alternatives=self._alternatives(part, i) if n > 1 else (),
                    length_considered=best[part].odds[i],
                    visible_bytes=best[part].visible[i],
                    open=not closed[gap.index],
                )
            )
        most = max(len(fills) for fills in self.fills)
        several = tuple(self._texts(rank) for rank in range(most))
        return InfillResult(filled.text, tuple(gaps), self._stats(seconds), model, seed, several)

    def _texts(self, rank: int) -> tuple[str, ...]:
        """Of all gaps, each part filled in its way of this rank, or its last."""
        return tuple(text for fills in self.fills for text in fills[min(rank, len(fills) - 1)].texts)

    def _alternatives(self, part: int, gap: int) -> tuple[Alternative, ...]:
        """The distinct texts of a gap, each by the best fill that has it."""
        found: dict[str, Alternative] = {}
        for fill in self.fills[part]:
            confidence = self.calibration.confidence(fill.log_p[gap])
            found.setdefault(fill.texts[gap], Alternative(fill.texts[gap], fill.score, confidence))
        return tuple(found.values())

    def _stats(self, seconds: float) -> Stats:
        tokens = sum(fill.tokens for fills in self.fills for fill in fills)
        steps, nfe = (max(getattr(fills[0], name) for fills in self.fills) for name in ("steps", "nfe"))
        return Stats(steps, nfe, tokens, seconds)
