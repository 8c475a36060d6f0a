"""The scores of some texts, generated or held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from textdiff.evaluation.generation.excerpts import Passage
from textdiff.metrics import (
    Gram,
    Parts,
    Score,
    distinct,
    entropy_parts,
    grams,
    jackknife,
    novelty_parts,
    perplexity,
    ratio,
    repetition_parts,
    self_bleu,
    signature,
)
from textdiff.text.tokenizers import Tokenizer

REPEATED = 4
"""Words of the n-grams whose repetition is counted."""
NOVEL = 8
"""Words of the n-grams that are looked for in the reference."""
DISTINCT = (1, 2, 3)
_MOST_ALIKE = 200
"""Texts at most that are compared with each other: the work grows with the square of their number."""


@dataclass(frozen=True)
class Known:
    """What stands in the reference.

    Attributes:
        grams: those of the n-grams that were looked for.
        sha256: of the reference's files, 12 digits.
    """

    grams: Set[Gram]
    sha256: str


def text_scores(
    passages: Sequence[Passage], tokenizer: Tokenizer, known: Known | None, sign: Mapping[str, object]
) -> list[Score]:
    """What can be counted in some texts, without their prompts.

    Args:
        passages: the texts.
        tokenizer: its tokens are those of the entropy.
        known: what of them stands in the reference, if there is one.
        sign: the parts of the signature.
    """
    texts = [passage.text for passage in passages]
    words = [passage.words for passage in passages]
    runs = [np.array(ids, dtype=np.int64) for ids in tokenizer.encode_many(texts)]
    scores = [_ratio("text_entropy", "nats/token", len(texts), entropy_parts(runs), signature(sign))]
    repeated = repetition_parts(words, REPEATED)
    scores.append(
        _ratio("repetition", "share", int(repeated[:, 1].sum()), repeated, signature({**sign, "n": REPEATED}))
    )
    for n in DISTINCT:
        value, error = distinct(words, n)
        count = sum(max(0, len(text) - n + 1) for text in words)
        scores.append(Score(f"distinct_{n}", value, "share", count, error, signature(sign)))
    some = [texts[int(i)] for i in np.linspace(0, len(texts) - 1, min(len(texts), _MOST_ALIKE)).round()]
    value, bleu = self_bleu(some)
    scores.append(Score("self_bleu", value, "0 to 100", len(some), math.inf, signature({**sign, "sacrebleu": bleu})))
    if known is not None:
        novel = novelty_parts(words, known.grams, NOVEL)
        own = {**sign, "n": NOVEL, "reference": known.sha256}
        scores.append(_ratio("novelty", "share", int(novel[:, 1].sum()), novel, signature(own)))
    return scores


def perplexity_score(parts: Parts, sign: Mapping[str, object]) -> Score:
    """The perplexity of some texts under a scorer; `parts` are what `Scorer.nats` gives."""
    value, error = perplexity(parts)
    return Score("generative_perplexity", value, "perplexity/piece", int(parts[:, 1].sum()), error, signature(sign))


def wanted_grams(passages: Sequence[Passage]) -> set[Gram]:
    """The n-grams to look for in the reference."""
    return {gram for passage in passages for gram in grams(passage.words, NOVEL)}


def _ratio(name: str, unit: str, count: int, parts: Parts, sign: str) -> Score:
    value, error = jackknife(parts, ratio)
    return Score(name, value, unit, count, error, sign)
