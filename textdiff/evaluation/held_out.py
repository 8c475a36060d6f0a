"""All the figures of a model on held-out ids, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import textdiff
from textdiff.data import DocumentEnds, Windows
from textdiff.evaluation.likelihood import ScoredText, entropy_scores, likelihood_scores, measure_nelbo
from textdiff.evaluation.signing import noise_parts, packing
from textdiff.metrics import LevelBin, LevelProfile, Score, signature
from textdiff.model import DiffusionModel
from textdiff.text.decoding import decode_parts
from textdiff.text.tokenizers import Tokenizer

MOST_TOKENS = 1 << 20
"""Of a longer text so many tokens are scored, in whole windows that are spread evenly over it."""
_LEAST_TOKENS = 1 << 16
"""A shorter text is corrupted several times."""
_MOST_REPEATS = 1 << 10
"""But not more often: a text of a few tokens, as a corpus of one line leaves, would take minutes."""


@dataclass(frozen=True)
class HeldOutReport:
    """What a model reaches on held-out text.

    Attributes:
        scores: the NELBO in every unit, and the entropies that counting reaches.
        levels: the NELBO by noise level.
        signature: of all of them.
    """

    scores: list[Score]
    levels: list[LevelBin]
    signature: str


def score_held_out(
    model: DiffusionModel,
    tokenizer: Tokenizer,
    ids: npt.NDArray[np.int32],
    seed: int,
    most: int = MOST_TOKENS,
    length: int | None = None,
) -> HeldOutReport:
    """Scores held-out ids [N], which may lie in a file.

    Up to `most` tokens all of them are scored, else so many windows, spread evenly; the signature says how many of how many.
    Bytes, words and the hash in the signature are those of the whole text, the n-gram entropies those of the scored windows.
    Of a model that has seen documents alone each document is scored alone, whole where it fits into a window. Windows have
    `length` tokens, or as many as the model's context.
    """
    model.eval()
    text, digest = text_of_ids(ids, tokenizer)
    length = length or model.config.context_length
    ends = DocumentEnds.of(tokenizer) if model.config.separate_documents else None
    windows, limit = Windows(ids, length, ends), max(2, most // length)
    chosen = None if len(ids) <= most or len(windows) <= limit else limit
    repeats = min(_MOST_REPEATS, -(-_LEAST_TOKENS // len(ids)))
    sign = signature(
        {
            **noise_parts(model),
            "data": digest[:12],
            "context": length,
            "packing": packing(ends),
            "windows": "all" if chosen is None else f"{chosen} of {len(windows)}",
            "repeats": repeats,
            "seed": seed,
            "version": textdiff.__version__,
        }
    )
    profile = LevelProfile()
    found = measure_nelbo(model, tokenizer, text, repeats, chosen, seed, profile=profile, ends=ends, length=length)
    runs = [ids] if chosen is None else [windows[number] for number in windows.spread(chosen)]
    scores = [*likelihood_scores(found, text, tokenizer, sign), *entropy_scores(runs, tokenizer, sign)]
    return HeldOutReport(scores, profile.bins(), sign)


def text_of_ids(ids: npt.NDArray[np.int32], tokenizer: Tokenizer) -> tuple[ScoredText, str]:
    """The sizes of the text of ids [N], and its sha256."""
    digest, size, words, inside = hashlib.sha256(), 0, 0, False
    for part in _filled(decode_parts(tokenizer, ids)):
        data = part.encode()
        digest.update(data)
        size += len(data)
        words += len(part.split()) - (inside and not part[0].isspace())  # a word that a cut goes through is one word
        inside = not part[-1].isspace()
    return ScoredText(ids, size, words), digest.hexdigest()


def _filled(parts: Iterable[str]) -> Iterable[str]:
    return (part for part in parts if part)
