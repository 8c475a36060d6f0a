"""A diffusion model: a backbone that denoises, and the process that it denoises."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import transformers.initialization as init
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

from textdiff.backbones import Backbone, BackboneConfig
from textdiff.backbones.layers import ZeroLinear
from textdiff.backbones.loading import load_weights, refuse, refusing
from textdiff.denoiser import Readout
from textdiff.errors import CheckpointError, ConfigError
from textdiff.processes import ForwardProcess
from textdiff.registry import build, to_config
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

FORMAT_VERSION = 1
_LARGEST = 1 << 20
_HUB_OPTIONS = {"cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token"}


class DiffusionConfig(PreTrainedConfig):
    """What `config.json` of a textdiff model holds.

    Attributes:
        vocabulary: the fields of a `Vocabulary`.
        process: the configuration of a `ForwardProcess`.
        backbone: the configuration of a `BackboneConfig`.
        context_length: L, the longest sequence that the model has seen.
        separate_documents: whether the model has seen documents alone, and not beside others of the same sample.
        target_length: of a model that makes a target of a source: the positions that a target has; see `PairLayout`. Else None.
        prediction: what the raw output means: `leave_one_out` is p(x_0 at i | x_t without i), `posterior` is
            p(x_0 at i | x_t). For absorbing noise they are the same.
        format_version: of this layout.
    """

    model_type: ClassVar[str] = "textdiff"

    vocabulary: dict[str, Any] | None = None
    process: dict[str, Any] | None = None
    backbone: dict[str, Any] | None = None
    context_length: int = 256
    separate_documents: bool = False
    target_length: int | None = None
    prediction: Literal["leave_one_out", "posterior"] = "leave_one_out"
    format_version: int = FORMAT_VERSION
    tie_word_embeddings: bool = False

    @staticmethod
    def of(
        backbone: BackboneConfig,
        process: ForwardProcess,
        context_length: int,
        prediction: Literal["leave_one_out", "posterior"] = "leave_one_out",
    ) -> DiffusionConfig:
        """The configuration of a model made of these parts."""
        vocabulary = {key: list(v) if isinstance(v, tuple) else v for key, v in vars(process.vocabulary).items()}
        return DiffusionConfig(
            vocabulary=vocabulary,
            process=to_config(process),
            backbone=to_config(backbone),
            context_length=context_length,
            prediction=prediction,
        )


class DiffusionModel(PreTrainedModel):
    """A backbone and its process, as a Hugging Face model.

    `denoise` is the `Denoiser` of this package; `forward` is the interface of a masked language model, so that
    `AutoModelForMaskedLM` and `pipeline("fill-mask")` work.
    """

    config_class = DiffusionConfig
    base_model_prefix = "textdiff_model"  # no submodule: the backbone has a head of its own
    main_input_name = "input_ids"

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__(config)
        _check_settings(config)
        try:
            self.vocabulary = build(Vocabulary, config.vocabulary, "vocabulary")
            with torch.device("cpu"):  # transformers makes weights on the meta device, but a process computes
                self.process = build(ForwardProcess, config.process, "process", vocabulary=self.vocabulary)
            backbone = build(BackboneConfig, config.backbone, "backbone").resolved(self.process.needs_time)
        except ConfigError as error:
            raise CheckpointError(f"config.json cannot be used: {error}") from None
        self.backbone = _made(backbone, self.process, config.context_length)
        config.backbone = to_config(self.backbone.config)
        self.post_init()

    @staticmethod
    def of(
        backbone: BackboneConfig,
        process: ForwardProcess,
        context_length: int,
        prediction: Literal["leave_one_out", "posterior"] = "leave_one_out",
    ) -> DiffusionModel:
        """A new model with fresh weights."""
        return DiffusionModel(DiffusionConfig.of(backbone, process, context_length, prediction))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        config: DiffusionConfig | None = None,
        output_loading_info: bool = False,
        **options: Any,
    ) -> Any:
        """As that of transformers, but with all of a model's weights, or not at all.

        Raises:
            CheckpointError: weights are missing, of another shape, unknown or not finite, or nothing can be read.
        """
        source = str(source)
        if config is None:
            hub = {key: options[key] for key in _HUB_OPTIONS & options.keys()}
            with refusing(f"{source} cannot be loaded"):
                config = DiffusionConfig.from_pretrained(source, **hub)
        load = super().from_pretrained
        model, report = load_weights(load, source, lambda: cls(config), config=config, **options)
        refuse(source, "no weights for", report["missing_keys"])
        refuse(source, "the model has no place for", report["unexpected_keys"])
        return (model, report) if output_loading_info else model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ZeroLinear):
            init.zeros_(module.weight)

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.input_embeddings()

    def denoise(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        """Leave-one-out logits at the true positions of `where`; see `Denoiser`.

        Returns:
            Float32 [N, V]; -inf at ids that are not writable.
        """
        return self.read(x_t, t, canvas, where).logits()

    def read(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        """The same, one layer earlier: see `Reader`."""
        inputs, given = x_t, canvas.frozen
        if canvas.hidden is not None:
            inputs, given = x_t.masked_fill(canvas.hidden, self._hiding_id()), given & ~canvas.hidden
        seen = (inputs, t, given, canvas.valid, where, canvas.documents)
        hidden = (
            self.backbone(*seen) if self.process.causal_blocks is None else self.backbone(*seen, self._clean(canvas))
        )
        weight, bias = self.backbone.output_layer()
        forbidden = self.vocabulary.forbidden(hidden.device)
        convert = None
        if self.config.prediction != "leave_one_out":

            def convert(logits: Tensor, rows: slice) -> Tensor:
                times = t.unsqueeze(-1).expand(x_t.shape)[where][rows]
                return self.process.to_leave_one_out(logits, x_t[where][rows], times)

        return Readout(hidden, weight, bias, forbidden, convert)

    def _clean(self, canvas: Canvas) -> Tensor:
        """What blocks behind it see of the text, where it is read block by block."""
        return canvas.ids if canvas.hidden is None else canvas.ids.masked_fill(canvas.hidden, self._hiding_id())

    def _hiding_id(self) -> int:
        """The id that stands for a given token that the network must not see."""
        hiding = self.vocabulary.mask_id
        return self.vocabulary.pad_id if hiding is None else hiding

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> MaskedLMOutput:
        """The interface of a masked language model: every mask in `input_ids` is free, everything else is given.

        Args:
            input_ids: Long [B, L].
            attention_mask: [B, L], nonzero where not padding; all by default.
            labels: Long [B, L], clean ids where the loss is wanted, -100 elsewhere.

        Returns:
            `logits` [B, L, V], which this interface promises whole, and `loss` where labels are given.
        """
        valid = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        noisy = input_ids == self.vocabulary.mask_id if self.vocabulary.mask_id is not None else torch.zeros_like(valid)
        canvas = Canvas(input_ids, ~noisy, valid, input_ids.new_zeros(len(input_ids)))
        share = (noisy & valid).sum(-1) / valid.sum(-1).clamp(min=1)
        t = self.process.schedule.inverse(1 - share.double())
        flat = self.denoise(input_ids, t, canvas, torch.ones_like(valid))
        logits = flat.view(*input_ids.shape, -1)
        loss = None if labels is None else nn.functional.cross_entropy(flat, labels.flatten(), ignore_index=-100)
        return MaskedLMOutput(loss=loss, logits=logits)


def _made(backbone: BackboneConfig, process: ForwardProcess, context_length: int) -> Backbone:
    """A new network that sees what the process lets it see."""
    if process.left_to_right:
        return backbone.make_causal(process.vocabulary, context_length)
    if process.causal_blocks is not None:
        return backbone.make_blocks(process.vocabulary, context_length, process.causal_blocks)
    return backbone.make(process.vocabulary, context_length)


def _check_settings(config: DiffusionConfig) -> None:
    """What a `config.json` may hold that no component looks at."""
    if config.vocabulary is None:
        raise CheckpointError("there is no config.json of a textdiff model")
    for name in ("format_version", "context_length"):
        value = getattr(config, name)
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise CheckpointError(f"{name} must be a whole number between 1 and {_LARGEST}, got {value!r}")
    if config.format_version > FORMAT_VERSION:
        raise CheckpointError(
            f"this model has format {config.format_version}, this textdiff reads up to {FORMAT_VERSION}; "
            "install a newer textdiff"
        )
    if type(config.separate_documents) is not bool:
        raise CheckpointError(f"separate_documents must be true or false, got {config.separate_documents!r}")
    length = config.target_length
    if length is not None and (type(length) is not int or not 1 <= length <= config.context_length):
        raise CheckpointError(f"target_length must be null or within context_length, got {length!r}")
    if config.prediction not in ("leave_one_out", "posterior"):
        raise CheckpointError(f"prediction must be 'leave_one_out' or 'posterior', got {config.prediction!r}")


if (
    __name__ == "textdiff.model"
):  # in an exported folder this file has another name, and transformers is told by config.json
    AutoConfig.register("textdiff", DiffusionConfig)
    AutoModel.register(DiffusionConfig, DiffusionModel)
    AutoModelForMaskedLM.register(DiffusionConfig, DiffusionModel)
