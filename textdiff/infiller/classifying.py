"""A classifier of texts from Hugging Face, which knows the tokens of the model that it guides."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from textdiff.backbones.loading import load_weights, refuse, refusing
from textdiff.errors import CheckpointError, UsageError, nearest
from textdiff.files import require_self_contained
from textdiff.infiller.checkpoint import without_progress_bars
from textdiff.infiller.loading import find_model
from textdiff.sampling import Classifier
from textdiff.sampling.classifiers import by_gradient, by_substitution
from textdiff.text.canvas import Canvas
from textdiff.text.tokenizers import Tokenizer, load_tokenizer

EXACT = 64
"""Ids of a vocabulary at most, for which the classifier is asked about each of them."""


def load_classifier(
    source: str, label: str, tokenizer: Tokenizer, context_length: int, device: torch.device | str
) -> Classifier:
    """log p(label | text) of a sequence classifier, for the ids of another model.

    It reads noisy texts as they are, masks included: one that has seen only clean ones says little while much is noise. It is
    taken to first order, or asked about every id where a vocabulary has at most 64.

    Args:
        source: a folder of Hugging Face, or a name on the hub, with its tokenizer.
        label: what texts shall be; a name or a number.
        tokenizer: of the model that it guides.
        context_length: of that model.

    Raises:
        CheckpointError: there is no such classifier, or it cannot be used.
        UsageError: it has no such label, or knows other tokens or shorter texts than the model.
    """
    folder = find_model(source)
    require_self_contained(folder)
    _require_same(source, load_tokenizer(folder), tokenizer)
    with refusing(f"{source} cannot be a classifier"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if (longest := getattr(config, "max_position_embeddings", context_length)) < context_length:
        raise UsageError(f"the classifier {source} reads {longest} tokens, the model up to {context_length}")
    number = _number(source, config.id2label, label)
    options = {"config": config, "trust_remote_code": False, "dtype": torch.float32}
    fresh = lambda: AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)  # noqa: E731
    with without_progress_bars():
        network, report = load_weights(
            AutoModelForSequenceClassification.from_pretrained, str(folder), fresh, **options
        )
    refuse(str(folder), "no weights for", report["missing_keys"])
    size = tokenizer.vocabulary.size
    if network.get_input_embeddings().num_embeddings < size:
        raise CheckpointError(f"{source} cannot be a classifier: its tokenizer has more ids than its network")
    return classifier_of(network.eval().requires_grad_(False).to(device), number, size)


def classifier_of(network: PreTrainedModel, number: int, size: int) -> Classifier:
    """The same of a network that is there; number: of the label, size: of the vocabulary."""
    table = network.get_input_embeddings().weight[:size]

    def of_ids(ids: Tensor, t: Tensor, canvas: Canvas) -> Tensor:
        return _log_p(network(input_ids=ids, attention_mask=canvas.valid.long()).logits)

    def of_embeddings(embeddings: Tensor, canvas: Canvas) -> Tensor:
        return _log_p(network(inputs_embeds=embeddings, attention_mask=canvas.valid.long()).logits)

    def _log_p(logits: Tensor) -> Tensor:
        return logits.log_softmax(-1)[:, number]

    return by_substitution(of_ids, size) if size <= EXACT else by_gradient(of_embeddings, table)


def _require_same(source: str, own: Tokenizer, tokenizer: Tokenizer) -> None:
    if own.pieces != tokenizer.pieces or own.vocabulary.size != tokenizer.vocabulary.size:
        raise UsageError(f"the classifier {source} and the model have different tokens: one cannot guide the other")


def _number(source: str, names: dict[int, str], label: str) -> int:
    for number, name in names.items():
        if label in (name, str(number)):
            return int(number)
    known = ", ".join(names.values())
    raise UsageError(f"the classifier {source} has no label {label!r}.{nearest(label, names.values())} It has: {known}")
