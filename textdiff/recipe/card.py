"""The model card: README.md of a checkpoint, written from what is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from textdiff.metrics import ONE_WINDOW, Score, of_one_window
from textdiff.model import DiffusionModel
from textdiff.registry import name_of
from textdiff.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class _Way:
    """What a card says of the way in which a model reads."""

    pipeline: str
    tags: tuple[str, ...]
    reads: str
    scores: str
    use: str


_WAYS = {
    "both": _Way(
        "fill-mask",
        ("discrete-diffusion", "infilling"),
        "in both directions",
        "Likelihoods are bounds: the true perplexity is at most this.",
        "    textdiff infill letter.md -m FOLDER\n",
    ),
    "blocks": _Way(
        "text-generation",
        ("discrete-diffusion", "block-diffusion"),
        "block by block, from left to right; it cannot fill gaps",
        "Likelihoods are bounds: the true perplexity is at most this.",
        "",
    ),
    "left": _Way(
        "text-generation",
        ("autoregressive",),
        "from left to right, a twin to compare diffusion models with; it cannot fill gaps",
        "Likelihoods are exact, not bounds.",
        "",
    ),
}
_OF_PAIRS = "    textdiff generate --condition sources.txt -m FOLDER\n"


def _way(model: DiffusionModel) -> str:
    if model.process.both_sides:
        return "both"
    return "left" if model.process.left_to_right else "blocks"


def model_card(
    model: DiffusionModel,
    tokenizer: Tokenizer,
    recipe: Mapping[str, Any],
    scores: Sequence[Score],
    steps: int,
    tokens: int,
    seconds: float,
) -> str:
    """The text of the card, in Markdown with the front matter that model hubs read."""
    remark = f"\n{ONE_WINDOW}\n" if of_one_window(scores) else ""
    data, ways = recipe["data"], _WAYS[_way(model)]
    of_pairs = model.config.target_length is not None
    use = _OF_PAIRS if of_pairs else f'{ways.use}    textdiff generate "Once upon" -m FOLDER\n'
    rows = "\n".join(f"| {s.name} | {_value(s)} | {s.unit} | {s.n:,} |" for s in scores) or "| none | | | |"
    head = _head("text2text-generation" if of_pairs else ways.pipeline, ways.tags, recipe, scores)
    return f"""---
{head}
---
# A textdiff model

{recipe["description"] or "Trained with textdiff."}

- Network: {sum(p.numel() for p in model.parameters()):,} parameters, context {model.config.context_length} tokens
- Reads: {ways.reads}
- Noise: {name_of(model.process)}; the network gives the {model.config.prediction} prediction
- Tokenizer: {tokenizer.kind}, {tokenizer.vocabulary.size:,} ids
- Training text: {_listed(data["train"])}
- Held-out text: {_listed(data["validation"]) or f"the last documents, some {data['validation_share']:.0%} of the text"}
- Training: {steps:,} steps, {tokens:,} scored tokens, {seconds / 60:,.0f} minutes; all options are in recipe.yaml

## Held-out scores

{ways.scores}

| score | value | unit | n |
|---|---|---|---|
{rows}
{remark}
Signature: `{scores[0].signature if scores else "none"}`

## Use

{use}
It writes what is likely, which need not be true. It knows the language and the time of its training text, and nothing else.
"""


def _head(pipeline: str, tags: Sequence[str], recipe: Mapping[str, Any], scores: Sequence[Score]) -> str:
    """The front matter, YAML. The hub shows the scores that it holds, and finds models by all else."""
    known: dict[str, Any] = {name: value for name, value in (recipe.get("card") or {}).items() if value}
    held_out = _listed(recipe["data"]["validation"]) or "the last documents of the training text"
    results = [
        EvalResult(
            pipeline, "text", held_out, score.name, round(score.value, 6), metric_name=f"{score.name}, {score.unit}"
        )
        for score in scores
        if math.isfinite(score.value)
    ]
    found: dict[str, Any] = {"eval_results": results, "model_name": "textdiff"} if results else {}
    data = ModelCardData(
        library_name="textdiff",
        pipeline_tag=pipeline,
        tags=["textdiff", *tags],
        **known,
        **found,
        ignore_metadata_errors=False,
    )
    return str(data.to_yaml()).strip()


def _value(score: Score) -> str:
    if math.isnan(score.value):
        return "unknown"
    form = ".4f" if abs(score.value) < 1e6 else ".3e"
    error = "" if score.interval is None else f" ± {score.standard_error:{form}}"
    return f"{score.value:{form}}{error}"


def _listed(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ", ".join(names)
