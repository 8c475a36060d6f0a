"""BLEU and chrF of sacrebleu, as sums over segments: so that any grouping of them has a standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from textdiff.metrics.jackknife import Parts


@dataclass(frozen=True)
class Overlap:
    """How far some texts overlap with their references.

    Attributes:
        parts: [N, S], the statistics of each text: their sums make the score of a corpus.
        metric: sacrebleu's.
        signature: sacrebleu's own, its version included.
    """

    parts: Parts
    metric: Any
    signature: str

    def value(self, total: Parts) -> float:
        """The score of a corpus, 0 to 100, from the sums of its statistics [S]."""
        return float(self.metric._compute_score_from_stats(total.tolist()).score)


def overlap(name: Literal["bleu", "chrf"], texts: Sequence[str], references: Sequence[Sequence[str]]) -> Overlap:
    """The statistics of some texts, each with one reference or several.

    BLEU looks at n-grams of up to four words, or as many as the longest reference has: with single words for references it
    is unigram precision with the brevity penalty, however long the texts are.

    Source: Post 2018, arXiv 1804.08771 (sacrebleu); Popović 2015, "chrF: character n-gram F-score".
    """
    from sacrebleu.metrics import BLEU, CHRF  # takes a fifth of a second

    order = min(4, max((len(text.split()) for given in references for text in given), default=4))
    metric = BLEU(max_ngram_order=max(1, order), force=True) if name == "bleu" else CHRF()
    most = max(map(len, references), default=1)
    columns = [[given[i] if i < len(given) else None for given in references] for i in range(most)]
    # the public interface adds the statistics up at once; these are what its own significance tests are made of
    parts = metric._extract_corpus_statistics(list(texts), columns)
    sign = metric.get_signature().format()  # it does not say the order
    return Overlap(np.array(parts, dtype=np.float64), metric, f"{sign}|order:{order}" if name == "bleu" else sign)
