"""Masked language models of Hugging Face as diffusion models."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedConfig

from textdiff.backbones import CAUSAL_TYPES, BidirectionalConfig, PretrainedBackboneConfig
from textdiff.errors import CheckpointError
from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess
from textdiff.text.tokenizers import Tokenizer


def load_masked_lm(folder: str | Path, tokenizer: Tokenizer, allow_missing_head: bool = False) -> DiffusionModel:
    """A masked language model of Hugging Face as a diffusion model of absorbing noise, with no training.

    Args:
        folder: a folder with `config.json` and `model.safetensors`, or a name on the hub.
        tokenizer: the tokenizer of that network.
        allow_missing_head: whether a language-model head that is missing may be drawn at random, the same one each time:
            for training.

    Raises:
        CheckpointError: it cannot be loaded, is no masked language model, or the tokenizer does not fit.
    """
    if tokenizer.vocabulary.mask_id is None:
        raise CheckpointError(f"{folder} cannot be used: its tokenizer has no mask token")
    kind = BidirectionalConfig if reads_left_to_right(folder) else PretrainedBackboneConfig
    backbone = kind(path=str(folder), allow_missing_head=allow_missing_head)
    process = AbsorbingProcess(vocabulary=tokenizer.vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # transformers draws a head from the global generator
        model = DiffusionModel.of(backbone, process, backbone.longest_context())
    model.eval()
    return model


def reads_left_to_right(folder: str | Path) -> bool:
    """Whether a folder holds a left-to-right model that can be made to read in both directions."""
    try:
        kind = PreTrainedConfig.get_config_dict(folder)[0].get("model_type")
    except Exception:  # transformers raises all kinds; what is wrong is said by who loads the network
        return False
    return kind in CAUSAL_TYPES
