"""A left-to-right language model of Hugging Face made to read in both directions.

Source: DiffuLLaMA (arXiv 2410.17891, section 3.2) and Dream (arXiv 2508.15487): attention without its causal mask, and outputs
shifted by one, as the network has learned that what stands at i - 1 predicts i. The first position has none before it, and is
predicted from itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from textdiff.backbones.base import BackboneConfig
from textdiff.backbones.documents import positions_within, same_document
from textdiff.backbones.loading import load_weights, refuse, refusing
from textdiff.backbones.pretrained import PretrainedBackbone, PretrainedBackboneConfig, plain_config
from textdiff.errors import CheckpointError
from textdiff.registry import register
from textdiff.vocabulary import Vocabulary

CAUSAL_TYPES = ("llama", "qwen2")


@register(BackboneConfig, "bidirectional")
@dataclass(frozen=True)
class BidirectionalConfig(PretrainedBackboneConfig):
    """Which left-to-right model, as for `pretrained`. Ids that it does not know start as the mean of those it knows."""

    def _body(self, vocabulary: Vocabulary) -> PretrainedBackbone:
        if self.path is None:
            return BidirectionalBackbone(self._fresh(), vocabulary)
        network = self._loaded(self.path)
        _add_mask(network, vocabulary)
        return BidirectionalBackbone(network, vocabulary)

    def _network_config(self) -> PreTrainedConfig:
        with refusing("the configuration of the network cannot be used"):
            if self.path is None:
                config = AutoConfig.for_model(**{"model_type": None, **(self.network or {})})
            else:
                config = AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        if config.model_type not in CAUSAL_TYPES:
            raise CheckpointError(f"a network of the type {config.model_type!r} is none of {', '.join(CAUSAL_TYPES)}")
        if getattr(config, "use_sliding_window", False):
            raise CheckpointError("a network with sliding windows cannot be made to read in both directions")
        return config

    def _fresh(self) -> PreTrainedModel:
        config = self._network_config()
        with refusing("the network cannot be made"):
            network: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        return network

    def _loaded(self, path: str) -> PreTrainedModel:
        if torch.get_default_device().type == "meta":
            raise CheckpointError("a saved model holds its own weights, but its backbone names a path to others")
        options = {"config": self._network_config(), "trust_remote_code": False, "dtype": torch.float32}
        network, report = load_weights(AutoModelForCausalLM.from_pretrained, path, self._fresh, **options)
        refuse(path, "no weights for", report["missing_keys"])
        refuse(path, "the network has no place for", report["unexpected_keys"])
        return network


class BidirectionalBackbone(PretrainedBackbone):
    """A left-to-right network of which every position sees all others. It ignores the time and what is given."""

    def __init__(self, network: PreTrainedModel, vocabulary: Vocabulary) -> None:
        super().__init__(network, vocabulary)
        self.config = BidirectionalConfig(network=plain_config(network.config))
        self._visible: Tensor | None = None

    @property
    def was_causal(self) -> bool:
        return True

    @contextmanager
    def seeing(self, visible: Tensor) -> Iterator[None]:
        self._visible = visible
        try:
            yield
        finally:
            self._visible = None

    def forward(
        self, x_t: Tensor, t: Tensor, given: Tensor, valid: Tensor, where: Tensor, documents: Tensor | None = None
    ) -> Tensor:
        documents = torch.zeros_like(x_t) if documents is None else documents
        places = positions_within(documents, valid)
        dtype = self.network.get_input_embeddings().weight.dtype
        seen = same_document(documents, valid)
        if self._visible is not None:
            seen = seen & self._visible.unsqueeze(1)
        # A whole mask, or these networks would put their causal one in its place.
        mask = torch.zeros(1, dtype=dtype, device=x_t.device).masked_fill(~seen, torch.finfo(dtype).min)
        ids = x_t.masked_fill(~valid, self.vocabulary.pad_id)
        body = self.network.base_model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
        rows, columns = where.nonzero(as_tuple=True)
        before = columns - (places[where] > 0).long()
        hidden: Tensor = body.last_hidden_state[rows, before]
        return hidden

    def output_layer(self) -> tuple[Tensor | None, Tensor | None]:
        return self.network.get_output_embeddings().weight[: self.vocabulary.size], None


@torch.no_grad()
def _add_mask(network: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Gives the mask, which the network has never seen, the mean embedding of all that come before it."""
    mask = vocabulary.mask_id
    assert mask is not None, "absorbing noise has a mask"
    if len(network.get_input_embeddings().weight) < vocabulary.size:
        network.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    for layer in (network.get_input_embeddings(), network.get_output_embeddings()):
        layer.weight[mask] = layer.weight[:mask].mean(0)
