"""Scores as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textdiff.cli.tables import aligned

if TYPE_CHECKING:
    from textdiff.metrics import Score

_HUGE = 1e6
"""From here on digits say nothing: the perplexity of a word where a text has hardly any."""


def score_table(scores: Sequence[Score]) -> str:
    """Names, values with their standard errors, units and counts, and below them the signatures."""
    from textdiff.metrics import ONE_WINDOW, of_one_window

    rows = [(s.name, number(s.value, s.standard_error), s.unit, f"n = {s.n:,}") for s in scores]
    signatures = dict.fromkeys(score.signature for score in scores)
    remark = f"\n{ONE_WINDOW}\n" if of_one_window(scores) else ""
    if any("|detokenize:" in sign for sign in signatures):
        remark += "\nTokens, bytes and words are those of the detokenised text.\n"
    return aligned(rows) + remark + "".join(f"\n{signature}\n" for signature in signatures)


def number(value: float | None, error: float | None) -> str:
    """A value with as many decimals as its standard error gives sense to; without one that is not known."""
    if value is None or math.isnan(value):
        return "unknown"
    if error is not None and not math.isfinite(error):
        error = None
    if abs(value) >= _HUGE:
        return f"{value:.3e}" + ("" if error is None else f" ± {error:.1e}")
    if not error:
        return f"{value:.4f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
