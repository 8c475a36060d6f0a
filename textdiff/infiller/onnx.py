"""The denoiser as an ONNX graph."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from textdiff.errors import ConfigError
from textdiff.model import DiffusionModel

_INPUTS = ("input_ids", "attention_mask")
_OPSET = 18


class _Logits(nn.Module):
    """The interface of a masked language model, with tensors only."""

    def __init__(self, model: DiffusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def require_onnx() -> None:
    """Raises a ConfigError where the package is missing that writes the file."""
    if find_spec("onnx") is None:
        raise ConfigError("--onnx needs a package: pip install 'textdiff[onnx]'")


@torch.no_grad()
def write_onnx(model: DiffusionModel, path: Path) -> None:
    """Writes `input_ids` and `attention_mask`, int64 [B, L], to `logits`, float32 [B, L, V]; any B, and L within the context.

    As for `DiffusionModel.forward` every mask in the ids is free, the time follows from their share, and logits are -inf at
    ids that cannot be written. Logits of padding mean nothing.

    Args:
        model: of any process.
        path: the file.

    Raises:
        ConfigError: `onnx` is not installed.
    """
    require_onnx()
    length = min(8, model.config.context_length)
    ids = torch.full((2, length), _usual(model))
    ids[:, 1:2] = model.vocabulary.pad_id if model.vocabulary.mask_id is None else model.vocabulary.mask_id
    valid = torch.ones_like(ids)
    valid[1, -1] = 0  # a graph is made of one example: without padding it would have no use for the mask
    axes = {name: {0: "batch", 1: "length"} for name in (*_INPUTS, "logits")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants, which tests look after, and of this exporter's age
        torch.onnx.export(
            _Logits(model).eval(),
            (ids, valid),
            path,
            input_names=[*_INPUTS],
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,  # the other one cannot follow a network that reads some positions only
        )


def _usual(model: DiffusionModel) -> int:
    """An id that can be written."""
    return int(model.vocabulary.writable().nonzero()[0])
