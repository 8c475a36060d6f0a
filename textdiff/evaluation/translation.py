"""Translation: BLEU and chrF of targets against their references, beside the network calls that they took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from textdiff.corpus import Pair, PairOptions, read_pairs
from textdiff.errors import DataError, UsageError
from textdiff.evaluation.signing import digest, model_parts, sampler_digest
from textdiff.infiller import Infiller, SamplerOptions, Target
from textdiff.metrics import Score, jackknife, overlap, ratio, signature
from textdiff.metrics.jackknife import Figure, Parts

TRANSLATION = "translation"
"""The metric of `evaluate_translation`, which is measured only where it is asked for."""


@dataclass(frozen=True)
class TranslationRow:
    """What a model reaches in so many steps.

    Attributes:
        steps: asked for; None where the sampler's own number was taken.
        scores: `bleu` and `chrf` of the corpus, 0 to 100, `network_calls` a source, and `length_ratio`, the words of all
            targets over those of their references. Standard errors are of another draw of pairs, with the same model.
    """

    steps: int | None
    scores: tuple[Score, ...]


def evaluate_translation(
    infiller: Infiller,
    files: Sequence[str | Path],
    steps: Sequence[int] = (),
    *,
    pairs: PairOptions | None = None,
    limit: int | None = None,
    options: SamplerOptions | None = None,
    n: int = 1,
    rerank: Literal["likelihood", "mbr"] = "likelihood",
    lengths: Literal["first", "along"] = "first",
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[TranslationRow]:
    """Makes a target of every source, and compares it with the reference, once for each number of steps.

    Both sides are raw text, and so are the scores: sacrebleu's own tokeniser, case, and signature. A left-to-right model has no
    steps: it takes as many network calls as it writes tokens, the end included, and has one row.

    Args:
        infiller: a model that was trained on pairs.
        files: see `read_pairs`.
        steps: numbers of refinement steps; () leaves the sampler's own.
        pairs: how the files are read.
        limit: take so many pairs, spread evenly; all by default.
        options: what is asked of the sampler; its `steps` are not looked at.
        n, rerank, lengths: see `Infiller.targets`. A length that is chosen first takes a network call, which is counted.
        seed: of the targets.
        on_progress: called with what is done, how many sources are, and how many there are.

    Raises:
        DataError: a file cannot be used, or a source is longer than the model can read.
        UsageError: an option is out of its range, or the model was not trained on pairs.
    """
    if any(count < 1 for count in steps) or (limit is not None and limit < 1):
        raise UsageError("steps and the number of pairs must be at least 1")
    infiller.pair_layout()
    chosen = _spread(list(read_pairs(files, pairs)), limit)
    asked = options or SamplerOptions()
    rows = []
    for count in (None,) if infiller.model.process.left_to_right or not steps else steps:
        sampler = replace(asked, steps=count).apply(infiller.samplers.infill)
        what = f"{sampler.steps} steps" if count is not None else "translation"
        targets = infiller.targets(
            [pair.source for pair in chosen],
            n=n,
            rerank=rerank,
            lengths=lengths,
            seed=seed,
            sampler=sampler,
            on_done=lambda done, what=what: on_progress(what, done, len(chosen)),  # type: ignore[misc]
        )
        own = {
            "sampler": sampler_digest(sampler),
            "steps": sampler.steps,
            "lengths": lengths,
            "n": n,
            **({"rerank": rerank} if n > 1 else {}),
        }
        sign = {**model_parts(infiller), "data": _digest(chosen), "pairs": len(chosen), **own, "seed": seed}
        rows.append(TranslationRow(count, translation_scores(targets, [pair.target for pair in chosen], sign)))
    return rows


def translation_scores(
    targets: Sequence[Target], references: Sequence[str], parts: dict[str, object]
) -> tuple[Score, ...]:
    """The scores of some targets, each with its reference; `parts` are those of the signature."""
    texts, sign = [target.text for target in targets], signature(parts)
    scores = []
    for name in ("bleu", "chrf"):
        found = overlap(name, texts, [[reference] for reference in references])
        whole = signature({**parts, "sacrebleu": found.signature})
        scores.append(_score(name, found.parts, found.value, "0 to 100", whole))
    calls = np.array([(target.network_calls, 1) for target in targets], dtype=np.float64)
    words = np.array(
        [(len(a.split()), len(b.split())) for a, b in zip(texts, references, strict=True)], dtype=np.float64
    )
    scores.append(_score("network_calls", calls, ratio, "calls/source", sign))
    scores.append(_score("length_ratio", words, ratio, "words/word", sign))
    return tuple(scores)


def _score(name: str, parts: Parts, figure: Figure, unit: str, sign: str) -> Score:
    value, error = jackknife(parts, figure)
    return Score(name, value, unit, len(parts), error, sign)


def _spread(pairs: Sequence[Pair], limit: int | None) -> Sequence[Pair]:
    if not pairs:
        raise DataError("there is no pair of a source and a target")
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[int(place)] for place in np.linspace(0, len(pairs) - 1, limit).round()]


def _digest(pairs: Sequence[Pair]) -> str:
    """The same as that of a `PairCorpus`."""
    return digest([*(f"{pair.source}\x1f{pair.target}" for pair in pairs), ""])
