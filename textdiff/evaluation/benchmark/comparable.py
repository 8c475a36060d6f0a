"""Whether two scores measure the same thing, so that their difference is one of the models."""

from __future__ import annotations

from collections import Counter

from textdiff.metrics import Score

_OF_MODELS = {"model", "process", "likelihood", "tokenizer", "context"}
"""Parts of a signature that are properties of a model. All others say how it was measured, and must be the same."""


def objection(first: Score, second: Score) -> str | None:
    """Why two scores of one name cannot be compared, in words, or None where they can.

    The models may differ; but in nats, bits and perplexity only models of one kind of noise with one context are compared,
    as each kind has a bound of its own, and in units of tokens only those of one tokenizer.
    """
    if first.unit != second.unit:
        return f"the units differ: {first.unit} against {second.unit}"
    parts = [[_split(part) for part in score.signature.split("|")] for score in (first, second)]
    one, other = (Counter(pairs) for pairs in parts)
    kinds = {key for key, _ in (one - other) + (other - one)}
    if strange := sorted(kinds - _OF_MODELS):
        return f"the signatures differ in {', '.join(_said(key, parts) for key in strange)}"
    if _is_likelihood(first):
        if kinds & {"process", "likelihood"}:
            said = _said("process", parts)
            return f"likelihoods of different noise families are no ranking: each has a bound of its own ({said})"
        if "context" in kinds:
            return f"the signatures differ in {_said('context', parts)}"
    if "tokenizer" in kinds and "token" in first.unit:
        return f"their tokens are not the same: {_said('tokenizer', parts)}"
    return None


def _is_likelihood(score: Score) -> bool:
    """Whether it is a likelihood under the model itself; an entropy is of the text, a scorer from outside the same for all."""
    own = not any(part.startswith("scorer:") for part in score.signature.split("|"))
    return own and not score.name.endswith("entropy") and score.unit.split("/")[0] in ("nats", "bits", "perplexity")


def _split(part: str) -> tuple[str, str]:
    key, _, value = part.partition(":")
    return key, value


def _said(key: str, parts: list[list[tuple[str, str]]]) -> str:
    values = [" and ".join(value for name, value in pairs if name == key) or "none" for pairs in parts]
    return f"{key} ({' against '.join(values)})"
