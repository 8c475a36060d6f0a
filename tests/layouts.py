"""Documents on the canvas, for tests that look at it."""

from __future__ import annotations

from itertools import pairwise

from textdiff.text.document import Document, Gap
from textdiff.text.layout import Draft, Layout, lay_out
from textdiff.text.outline import outlines_of
from textdiff.text.tokenizers import Tokenizer


def laid_out(*documents: Document, tokenizer: Tokenizer, context_length: int = 64) -> Layout:
    """Documents whose gaps have as many tokens as they ask for, or else four."""
    return lay_out([_draft(d, tokenizer, context_length) for d in documents], tokenizer, context_length)


def _draft(document: Document, tokenizer: Tokenizer, context_length: int) -> Draft:
    sizes = [4 if gap.length is None else gap.length.high for gap in document.gaps]
    starts = [
        tokenizer.spelling.start("" if before is None or isinstance(before, Gap) else before.text, "")
        for before, part in pairwise([None, *document.parts])
        if isinstance(part, Gap)
    ]
    return Draft(outlines_of(document, tokenizer, context_length), 0, sizes, sizes, starts)
