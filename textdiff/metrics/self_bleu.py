"""How alike some texts are."""

from __future__ import annotations

import math
from collections.abc import Sequence


def self_bleu(texts: Sequence[str]) -> tuple[float, str]:
    """Self-BLEU: the mean BLEU of each text with all the others for references, 0 to 100, and sacrebleu's signature.

    It rises with the number of texts: only of equally many are values to be compared.

    Returns:
        The mean, NaN where there are less than two texts.

    Source: Zhu et al. 2018, arXiv 1802.01886; Post 2018, arXiv 1804.08771 (sacrebleu).
    """
    from sacrebleu.metrics import BLEU  # takes a fifth of a second

    if len(texts) < 2:
        return math.nan, ""
    metric = BLEU(effective_order=True)
    scores = [metric.sentence_score(text, [*texts[:i], *texts[i + 1 :]]).score for i, text in enumerate(texts)]
    return sum(scores) / len(scores), metric.get_signature().format()
