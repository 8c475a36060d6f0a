"""Documents on the canvas, for tests that look at it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from textdiff.text.document import Document, Gap
from textdiff.text.layout import Draft, Layout, lay_out
from textdiff.text.outline import outlines_of
from textdiff.text.tokenizers import Tokenizer


def laid_out(*documents: Document, tokenizer: Tokenizer, context_length: int = 64) -> Layout:
    """Documents whose gaps have as many tokens as they ask for, or else four; numbered as `Infiller.infill` shows them."""
    drafts, names = [], []
    for number, document in enumerate(documents):
        sizes = [4 if gap.length is None else gap.length.high for gap in document.gaps]
        starts = [
            tokenizer.spelling.start("" if before is None or isinstance(before, Gap) else before.text, "")
            for before, part in pairwise([None, *document.parts])
            if isinstance(part, Gap)
        ]
        made = drafts_of(document, tokenizer, context_length, sizes, starts)
        drafts += made
        names += [(number, draft.outline.gaps) for draft in made]
    return lay_out(drafts, tokenizer, context_length).renumbered(names)


def drafts_of(
    document: Document,
    tokenizer: Tokenizer,
    context_length: int,
    lengths: Sequence[int],
    starts: Sequence[int] | None = None,
    seed: int = 0,
    open_gaps: Sequence[int] = (),
) -> list[Draft]:
    """A draft for each stretch of a document; lengths and starts are those of all its gaps."""
    return [
        Draft(
            outline,
            seed + outline.gaps[0],
            [lengths[gap] for gap in outline.gaps],
            [0 if starts is None else starts[gap] for gap in outline.gaps],
            [i for i, gap in enumerate(outline.gaps) if gap in open_gaps],
        )
        for outline in outlines_of(document, tokenizer, context_length)
    ]
