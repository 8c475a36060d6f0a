"""The conditional likelihood of targets given their sources."""

from __future__ import annotations

import math
from collections.abc import Callable

import textdiff
from textdiff.data import PairCorpus, pair_batches
from textdiff.evaluation.held_out import HeldOutReport
from textdiff.evaluation.likelihood import ROWS, on_device
from textdiff.evaluation.signing import noise_parts
from textdiff.metrics import Likelihood, Score, estimate_nelbo, signature
from textdiff.model import DiffusionModel
from textdiff.text.pairs import PairLayout

_LEAST_TOKENS = 1 << 16
_MOST_REPEATS = 16


def score_held_out_pairs(model: DiffusionModel, corpus: PairCorpus, layout: PairLayout, seed: int) -> HeldOutReport:
    """Scores held-out pairs, all of them; a small set is corrupted several times."""
    model.eval()
    repeats = min(_MOST_REPEATS, -(-_LEAST_TOKENS // (len(corpus) * layout.target_length)))
    found = measure_pairs(model, corpus, layout, repeats, seed)
    sign = signature(
        {
            **noise_parts(model),
            "data": corpus.sha256[:12],
            "context": model.config.context_length,
            **pair_parts(corpus, layout),
            "repeats": repeats,
            "seed": seed,
            "version": textdiff.__version__,
        }
    )
    return HeldOutReport(pair_scores(found, corpus, sign), [], sign)


def measure_pairs(
    model: DiffusionModel,
    corpus: PairCorpus,
    layout: PairLayout,
    repeats: int,
    seed: int,
    on_pairs: Callable[[int], None] = lambda done: None,
    limit: int | None = None,
) -> Likelihood:
    """The NELBO of targets given their sources, where each ends included.

    Args:
        limit: score so many pairs, spread evenly; all by default.
        on_pairs: called with the number of pairs that are done.
    """
    batches = pair_batches(corpus, layout, ROWS, seed, limit)
    return estimate_nelbo(model.read, model.process, on_device(batches, model, on_pairs), repeats, seed)


def pair_parts(corpus: PairCorpus, layout: PairLayout) -> dict[str, object]:
    """The parts of a signature that say what a pair is."""
    return {"pairs": len(corpus), "target_length": layout.target_length}


def pair_scores(found: Likelihood, corpus: PairCorpus, sign: str, pairs: int | None = None) -> list[Score]:
    """The NELBO of targets, or their exact likelihood, as nats a token, bits a byte, and perplexity a token.

    A target's end counts as a token, in nats and in tokens; bytes are those of the text alone.

    Args:
        pairs: how many of the corpus were scored; bytes then count in proportion.
    """
    mean, error, degrees = found.nats_per_token, found.standard_error, found.degrees_of_freedom
    size = corpus.bytes * (1 if pairs is None else pairs / len(corpus))
    per_byte = found.tokens / size / math.log(2)
    perplexity = math.exp(min(mean, 700))
    return [
        Score(found.name, mean, "nats/token", found.tokens, error, sign, degrees),
        Score("bits_per_byte", mean * per_byte, "bits/byte", round(size), error * per_byte, sign, degrees),
        Score("perplexity_per_token", perplexity, "perplexity/token", found.tokens, perplexity * error, sign, degrees),
    ]
