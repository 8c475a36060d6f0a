"""Activations that are computed again instead of kept: the same gradients, fewer bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rank import bert
from test_training import SMALL, assert_same, job, weights
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import AlbertConfig

from textdiff.backbones import BackboneConfig, DiTConfig, PretrainedBackboneConfig
from textdiff.errors import ConfigError
from textdiff.model import DiffusionModel
from textdiff.objectives import CrossEntropyObjective
from textdiff.processes import AbsorbingProcess, ForwardProcess, UniformProcess
from textdiff.text.canvas import Canvas
from textdiff.training import train
from textdiff.training.step import TrainingStep
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=12, special_ids=(0, 1, 2), mask_id=1, pad_id=0, filler_id=3)
LAYERS = 4
DIT = DiTConfig(hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=2, dropout=0.3)


def gradients(config: BackboneConfig, process: ForwardProcess, again: bool) -> tuple[dict[str, Tensor], int]:
    """Of one training step with dropout, and the bytes that autograd kept for it."""
    torch.manual_seed(0)
    model = DiffusionModel.of(config, process, 16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # layers that start at zero would hide all the others
    if again:
        model.backbone.enable_gradient_checkpointing()
    step = TrainingStep(model, CrossEntropyObjective(), bf16=False).train()
    ids = torch.randint(4, 12, (4, 16))
    canvas = Canvas(ids, torch.zeros_like(ids).bool(), torch.ones_like(ids).bool(), torch.arange(4))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step(canvas, torch.full((4,), 0.6, dtype=torch.float64)).loss
    # What enters a layer that is computed again is kept by a closure, unseen by the hooks.
    held = LAYERS * ids.numel() * 32 * 4 if again else 0
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, sum(kept.values()) + held


@pytest.mark.parametrize(
    ("config", "process"),
    [
        (DIT, AbsorbingProcess(VOCABULARY)),
        (replace(DIT, time_embedding="sinusoidal"), UniformProcess(VOCABULARY)),
        (bert(hidden_dropout_prob=0.3), AbsorbingProcess(VOCABULARY)),
    ],
    ids=["dit", "dit with time", "bert"],
)
def test_the_gradient_is_the_same_to_the_bit_and_less_is_kept(config: BackboneConfig, process: ForwardProcess) -> None:
    plain, much = gradients(config, process, again=False)
    other, little = gradients(config, process, again=True)
    assert_same(plain, other)
    assert sum(bool(gradient.any()) for gradient in plain.values()) > 4 * LAYERS
    assert little < much / 2, f"{little} bytes of {much}"


def test_dropout_is_drawn_once(tmp_path: Path) -> None:
    """A whole run, whose dropout has seeds of its own: what is computed again must draw as the first time."""
    plain = job(tmp_path / "a", SMALL, 0.3)
    again = job(tmp_path / "b", replace(SMALL, gradient_checkpointing=True), 0.3)
    train(plain)
    train(again)
    assert_same(weights(plain), weights(again))


def test_a_model_that_was_trained_so_is_evaluated_as_ever() -> None:
    """Nothing is computed twice outside of training."""
    backbone = DIT.resolved(needs_time=False).make(VOCABULARY, 16)
    backbone.enable_gradient_checkpointing()
    calls = []
    backbone.blocks[0].attention.register_forward_hook(lambda *_: calls.append(1))
    backbone.blocks[0].mlp.register_forward_hook(lambda *_: calls.append(1))
    ids = torch.randint(4, 12, (2, 8))
    every = torch.ones_like(ids).bool()
    for training, expected in ((False, 1), (True, 2)):
        calls.clear()
        backbone.train(training)
        backbone.scores(ids, torch.zeros(2), ~every, every, every).sum().backward()
        assert len(calls) == expected


def test_a_network_that_cannot_says_so(tmp_path: Path) -> None:
    sizes = {"vocab_size": 12, "embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2}
    albert = AlbertConfig(**sizes, num_hidden_layers=1, intermediate_size=16, max_position_embeddings=32)
    config = PretrainedBackboneConfig(network=json.loads(albert.to_json_string(use_diff=False)))
    made = job(tmp_path, replace(SMALL, gradient_checkpointing=True))
    model = DiffusionModel.of(config, AbsorbingProcess(VOCABULARY), 16)
    with pytest.raises(ConfigError, match="gradient_checkpointing: networks of the type 'albert' cannot"):
        train(replace(made, model=model))
