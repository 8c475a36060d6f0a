"""What every figure of a model depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import textdiff
from textdiff.data import DocumentEnds
from textdiff.infiller import Infiller
from textdiff.model import DiffusionModel
from textdiff.objectives import estimator_for
from textdiff.registry import name_of, to_config
from textdiff.sampling import Sampler


def digest(texts: Iterable[str]) -> str:
    """Twelve hexadecimal digits that stand for some texts in their order."""
    return hashlib.sha256("\x1e".join(texts).encode(errors="surrogatepass")).hexdigest()[:12]


def sampler_digest(sampler: Sampler, *others: object) -> str:
    """Stands for a sampler with all its options, and for whatever else a draw depends on."""
    return digest([json.dumps(to_config(sampler), sort_keys=True), *map(str, others)])


def packing(ends: DocumentEnds | None, stride: int | None = None) -> str:
    """What a window of text holds: `consecutive` tokens, or whole `documents`, of which each sees itself only.

    With a stride: that windows are `sliding`, and how many tokens each scores.
    """
    if stride is not None:
        return f"sliding:{stride}"
    return "consecutive" if ends is None else "documents"


def noise_parts(model: DiffusionModel) -> dict[str, object]:
    """The parts that name a model's noise, and say so where its likelihood is exact and not a bound."""
    exact = {"likelihood": "exact"} if estimator_for(model.process).exact else {}
    return {"process": name_of(model.process), **exact}


def model_parts(infiller: Infiller) -> dict[str, object]:
    """The parts of a signature that name a model: hashes of its weights and its tokenizer, and its noise."""
    weights = hashlib.sha256()
    for name, tensor in sorted(infiller.model.state_dict().items()):
        weights.update(name.encode())
        weights.update(tensor.detach().float().cpu().numpy().tobytes())
    return {
        "model": weights.hexdigest()[:12],
        **noise_parts(infiller.model),
        "tokenizer": digest([infiller.tokenizer.backend.to_str()]),
        "context": infiller.context_length,
        "version": textdiff.__version__,
    }
