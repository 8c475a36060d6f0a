"""How well a model fills gaps in the held-out text, measured before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from textdiff.data.packing import Ids
from textdiff.errors import DataError
from textdiff.evaluation.infilling import CONTEXT, CaseSet, cut_cases, evaluate_infilling, joint_way
from textdiff.infiller import Infiller
from textdiff.metrics import Score
from textdiff.text.tokenizers import Tokenizer

_CASES = (32, 16, 8)
_WORDS = (1, 4)
_SHOWN = ("bits_per_byte", "exact_match")


def filling_scores(infiller: Infiller, ids: Ids, seed: int) -> list[Score]:
    """`infill_bits_per_byte` and `infill_exact_match` of gaps of 1 to 4 words, told how many tokens each has.

    The protocol is that of `textdiff.evaluation.infilling`, with 32 gaps, or fewer where the text is short. The signatures
    leave out what names the weights, so that two models' scores of the same gaps have the same.

    Args:
        infiller: the model.
        ids: the held-out text.
        seed: of the gaps, the fills and the noise.

    Returns:
        No scores where the text has no room for 8 gaps, or the model knows nothing of the text behind a gap.
    """
    if not infiller.model.process.both_sides:
        return []
    cases = _cases(infiller, held_out_texts(ids, infiller.tokenizer), seed)
    if cases is None:
        return []
    report = evaluate_infilling(infiller, [cases], [joint_way("true")], seed=seed)
    found = {score.name: score for score in report.rows[0].scores}
    return [_named(found[name]) for name in _SHOWN if name in found]


def held_out_texts(ids: Ids, tokenizer: Tokenizer) -> list[str]:
    """The documents, or parts of documents, that lie between special tokens."""
    special = np.isin(ids, tokenizer.vocabulary.special_ids)
    borders = np.flatnonzero(np.diff(special)) + 1
    parts = zip(np.split(ids, borders), np.split(special, borders), strict=True)
    return [tokenizer.decode(part.tolist()) for part, apart in parts if len(part) and not apart[0]]


def _cases(infiller: Infiller, texts: Sequence[str], seed: int) -> CaseSet | None:
    for count in _CASES:
        try:
            return cut_cases(infiller, texts, "words", count, seed, CONTEXT, _WORDS)
        except DataError:  # no room for so many
            continue
    return None


def _named(score: Score) -> Score:
    signature = "|".join(part for part in score.signature.split("|") if not part.startswith("model:"))
    return replace(score, name=f"infill_{score.name}", signature=signature)
