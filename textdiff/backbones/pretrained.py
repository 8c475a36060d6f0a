"""Any masked language model of Hugging Face as the body of a diffusion model."""

from __future__ import annotations

import inspect
import json
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from textdiff.backbones.base import Backbone, BackboneConfig
from textdiff.backbones.documents import positions_within, same_document
from textdiff.backbones.loading import load_weights, refuse, refusing
from textdiff.errors import CheckpointError, ConfigError
from textdiff.packed import places_of, take
from textdiff.products import use_fast_layers
from textdiff.registry import register
from textdiff.vocabulary import Vocabulary

# Parts of a folder that serve other tasks than masked language modelling.
_OTHER_TASKS = ("pooler", "seq_relationship", "sop_classifier", "position_ids")
# Keys of a configuration that speak of its file or of other tasks, or that make other code run.
_NOT_KEPT = ("transformers_version", "_name_or_path", "architectures", "dtype", "auto_map", "id2label", "label2id")
# Types whose own code fails under autocast: it fills lower precision with numbers of single precision.
_SINGLE_PRECISION = ("deberta",)
_UNLIMITED = 512  # the longest context of a network whose configuration sets no limit


class _Wanted(NamedTuple):
    """What is asked of a network that can only be reached through its hooks: where, and whether before the last layer."""

    places: Tensor
    hidden: bool


_WANTED: ContextVar[_Wanted | None] = ContextVar("wanted", default=None)


class _ReachedOutputLayer(Exception):  # noqa: N818 - it is no error
    """Carries what the output layer would have scored."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


@register(BackboneConfig, "pretrained")
@dataclass(frozen=True)
class PretrainedBackboneConfig(BackboneConfig):
    """Which masked language model, and where its weights come from: give either `path` or `network`.

    Attributes:
        path: a folder with `config.json` and `model.safetensors`, or a name on the hub, to load the weights from.
        network: the network's own configuration as plain data, for fresh weights. A saved model holds this and no path.
        allow_missing_head: a folder may lack the language-model head, which then starts at random: for fine-tuning.
    """

    path: str | None = None
    network: dict[str, Any] | None = None
    allow_missing_head: bool = False

    def __post_init__(self) -> None:
        if (self.path is None) == (self.network is None):
            raise ConfigError("give either path or network")

    def for_vocabulary(self, vocabulary: Vocabulary) -> PretrainedBackboneConfig:
        """Needs `network`. The padding's id stays: some networks number their positions from it."""
        network = {**(self.network or {}), "vocab_size": vocabulary.size}
        if "mask_token_id" in network:  # ESM looks for it
            network["mask_token_id"] = vocabulary.mask_id
        return replace(self, network=network)

    def make(self, vocabulary: Vocabulary, context_length: int) -> PretrainedBackbone:
        """A network with the weights of `path`, or with fresh ones.

        Raises:
            CheckpointError: it cannot be loaded or made, is not a bidirectional masked language model, has too few ids
                or positions, or lets padding change its result.
        """
        backbone = self._body(vocabulary)
        known = len(backbone.network.get_input_embeddings().weight)
        if known < vocabulary.size:
            raise CheckpointError(f"the network knows {known} ids, the vocabulary has {vocabulary.size}")
        if context_length > backbone.positions:
            most = backbone.positions
            raise CheckpointError(f"context_length must be at most {most} for this network, got {context_length}")
        if self.path is not None:
            backbone.check()
        return backbone.train()

    def _body(self, vocabulary: Vocabulary) -> PretrainedBackbone:
        return PretrainedBackbone(self._fresh() if self.path is None else self._loaded(self.path), vocabulary)

    def longest_context(self) -> int:
        """The number of positions that the network has, found without making its weights."""
        with torch.device("meta"):
            return _positions(self._fresh())[1]

    def _network_config(self) -> PreTrainedConfig:
        with refusing("the configuration of the network cannot be used"):
            if self.path is None:
                config = AutoConfig.for_model(**{"model_type": None, **(self.network or {})})
            else:
                config = AutoConfig.from_pretrained(self.path, trust_remote_code=False)
        if config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.is_encoder_decoder:
            raise CheckpointError(
                f"a network of the type {config.model_type!r} is not a bidirectional masked language model"
            )
        return config

    def _fresh(self) -> PreTrainedModel:
        config = self._network_config()
        with refusing("the network cannot be made"):
            network: PreTrainedModel = AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
        return network

    def _loaded(self, path: str) -> PreTrainedModel:
        if torch.get_default_device().type == "meta":  # transformers is about to load the weights of the whole model
            raise CheckpointError("a saved model holds its own weights, but its backbone names a path to others")
        options = {"config": self._network_config(), "trust_remote_code": False, "dtype": torch.float32}
        network, report = load_weights(AutoModelForMaskedLM.from_pretrained, path, self._fresh, **options)
        body = f"{network.base_model_prefix}."
        missing = [name for name in report["missing_keys"] if name.startswith(body) or not self.allow_missing_head]
        unused = (name for name in report["unexpected_keys"] if not any(part in name for part in _OTHER_TASKS))
        refuse(path, "no weights for", missing)
        refuse(path, "the network has no place for", unused)
        network.has_new_head = bool(report["missing_keys"])
        return network


class PretrainedBackbone(Backbone):
    """A masked language model whose head runs on the wanted rows only. It ignores the time and what is given."""

    def __init__(self, network: PreTrainedModel, vocabulary: Vocabulary) -> None:
        super().__init__()
        network.config.return_dict = True
        use_fast_layers(network)
        self.network = network
        if network.config.pad_token_id != vocabulary.pad_id:  # with another tokenizer that row is a token to be trained
            network.get_input_embeddings().padding_idx = None
        self.vocabulary = vocabulary
        self.config = PretrainedBackboneConfig(network=plain_config(network.config))
        self.has_new_head = getattr(network, "has_new_head", False)
        self.first_position, self.positions = _positions(network)
        # transformers looks here for the tied weights of a part of a model.
        self.all_tied_weights_keys = {f"network.{k}": f"network.{v}" for k, v in network.all_tied_weights_keys.items()}
        network.base_model.register_forward_hook(_keep_wanted)

    def input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.network.get_input_embeddings()
        return embeddings

    def repeated(self) -> list[nn.Module]:
        return [module for module in self.network.modules() if isinstance(module, GradientCheckpointingLayer)]

    def compile_layers(self) -> None:
        layers = self.repeated()
        if not layers:
            super().compile_layers()
        for layer in layers:
            layer.compile()

    def enable_gradient_checkpointing(self) -> None:
        if not self.repeated():
            kind = self.network.config.model_type
            raise ConfigError(f"gradient_checkpointing: networks of the type {kind!r} cannot compute activations again")
        enable = getattr(self.network, "activation_checkpointing_enable", self.network.gradient_checkpointing_enable)
        enable({"use_reentrant": False})

    def forward(
        self, x_t: Tensor, t: Tensor, given: Tensor, valid: Tensor, where: Tensor, documents: Tensor | None = None
    ) -> Tensor:
        options = {"attention_mask": valid.long()}
        if self.first_position:
            # These networks number their positions around every id that equals the padding's, wherever it stands.
            last = self.first_position + x_t.shape[1]
            options["position_ids"] = torch.arange(self.first_position, last, device=x_t.device).expand_as(x_t)
        if documents is not None:
            options = self._apart(documents, valid)
        ids = x_t.masked_fill(~valid, self.vocabulary.pad_id)
        plain = self._ends_in_plain_layer
        token = _WANTED.set(_Wanted(places_of(where), plain))
        try:
            with self._precision(x_t.device.type):
                rows: Tensor = self.network(input_ids=ids, **options).logits
        except _ReachedOutputLayer as reached:
            return reached.hidden[0]
        finally:
            _WANTED.reset(token)
        return rows[0, :, : self.vocabulary.size]  # some networks have more rows than there are ids

    def _precision(self, device: str) -> torch.autocast:
        """The precision around, where the network's own code can stand it."""
        stands = self.network.config.model_type not in _SINGLE_PRECISION
        return torch.autocast(device, enabled=stands and torch.is_autocast_enabled(device))

    def _apart(self, documents: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """The options of a network that make documents blind to each other, where it heeds them: see `require_separable`."""
        # Numbers to be added to the scores of attention: some networks take a mask of truth values for such numbers.
        dtype = self.network.get_input_embeddings().weight.dtype
        mask = torch.zeros(1, dtype=dtype, device=valid.device).masked_fill(
            ~same_document(documents, valid), torch.finfo(dtype).min
        )
        options = {"attention_mask": mask}
        if "position_ids" in inspect.signature(self.network.forward).parameters:
            options["position_ids"] = self.first_position + positions_within(documents, valid)
        return options

    def output_layer(self) -> tuple[Tensor | None, Tensor | None]:
        if not self._ends_in_plain_layer:
            return None, None
        layer, size = self.network.get_output_embeddings(), self.vocabulary.size
        return layer.weight[:size], None if layer.bias is None else layer.bias[:size]

    @cached_property
    def _ends_in_plain_layer(self) -> bool:
        """Whether the network's scores are what its output layer gives, and nothing comes after that."""
        layer, given = self.network.get_output_embeddings(), []
        if not isinstance(layer, nn.Linear):
            return False
        hook = layer.register_forward_hook(lambda _, __, output: given.append(output))
        training = self.network.training
        self.network.eval()  # dropout would draw from the global generator
        try:
            with torch.no_grad(), self._precision(layer.weight.device.type):
                scores = self.network(input_ids=layer.weight.new_zeros(1, 2, dtype=torch.long)).logits
        finally:
            hook.remove()
            self.network.train(training)
        if len(given) != 1 or given[0].data_ptr() != scores.data_ptr() or given[0].shape != scores.shape:
            return False
        layer.register_forward_pre_hook(_stop_before)
        return True

    @torch.no_grad()
    def check(self) -> None:
        """Tries the network on two short rows.

        Raises:
            CheckpointError: it fails, the result depends on padding or on which rows are wanted, or it reads from left
                to right only.
        """
        self.eval()
        length = min(12, self.positions)
        short = length // 2
        ids = torch.arange(length).remainder(self.vocabulary.size).expand(2, -1)
        valid = torch.arange(length) < torch.tensor([[length], [short]])
        wanted = valid & (torch.arange(length) > 0) & torch.tensor([[False], [True]])
        changed = ids[1:, :short].clone()
        changed[0, 1] = 0  # the next token: some networks look at their neighbours only
        time, everything = torch.zeros(1), torch.ones(1, short, dtype=torch.bool)
        with refusing("the network cannot be run"):
            rows = (ids[1:, :short], changed)
            alone, other = (self.scores(row, time, everything, everything, everything) for row in rows)
            beside = self.scores(ids, time, valid, valid, wanted)
        if not torch.allclose(alone[1:], beside, rtol=1e-3, atol=1e-3 * float(alone.abs().max())):
            raise CheckpointError("the network lets padding change its result, so that it cannot work on a batch")
        if torch.equal(alone[0], other[0]):
            raise CheckpointError("the network reads from left to right only")


def _keep_wanted(_: nn.Module, __: Any, output: Any) -> Any:
    """Hands on only the wanted rows of the body's output, [1, N, D], so that any class's own head runs on those."""
    wanted = _WANTED.get()
    if wanted is not None:
        hidden = next(iter(output))
        output[hidden] = take(output[hidden], wanted.places).unsqueeze(0)
    return output


def _stop_before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Ends a forward pass that is to give what the output layer scores, and not the scores."""
    wanted = _WANTED.get()
    if wanted is not None and wanted.hidden:
        raise _ReachedOutputLayer(inputs[0])


def _positions(network: PreTrainedModel) -> tuple[int, int]:
    """The position id of a text's start (RoBERTa and its kin start behind the padding's id), and how many there are."""
    limit = getattr(network.config, "max_position_embeddings", None) or _UNLIMITED
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "weight"):
            padding = getattr(module, "padding_idx", None)
            first = 0 if padding is None else padding + 1
            return first, min(limit, len(module.weight)) - first
    return 0, limit


def plain_config(config: PreTrainedConfig) -> dict[str, Any]:
    """A configuration as plain data that shapes the same network again."""
    settings: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in settings.items() if key not in _NOT_KEPT}
