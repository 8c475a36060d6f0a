"""Once the network runs in a training step, nobody asks a GPU how many there are of something: the host would wait for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import VOCABULARY
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from textdiff.backbones import BackboneConfig, DiTConfig, PretrainedBackboneConfig
from textdiff.draws import Draws
from textdiff.model import DiffusionModel
from textdiff.objectives import NelboObjective, stratified
from textdiff.processes import AbsorbingProcess, UniformProcess
from textdiff.text.canvas import Canvas
from textdiff.training.step import TrainingStep

_PRODUCTS = {"mm", "addmm", "bmm", "_scaled_dot_product_flash_attention_for_cpu"}
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select"}


class Recorded(TorchDispatchMode):
    """The names of all operations, those that a GPU is waited for with a mark."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_truth = (
            name.startswith("index")
            and len(args) > 1
            and isinstance(args[1], (list, tuple))
            and any(isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1])
        )
        self.names.append(f"waits: {name}" if by_truth or name in _WAITS else name)
        return func(*args, **(kwargs or {}))


BERT = {"model_type": "bert", "vocab_size": VOCABULARY.size, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16}  # fmt: skip


@pytest.mark.parametrize("backbone", [DiTConfig(16, 2, 2), PretrainedBackboneConfig(network=BERT)], ids=["dit", "bert"])
@pytest.mark.parametrize("process", [AbsorbingProcess, UniformProcess])
def test_the_host_waits_only_before_the_network_runs(backbone: BackboneConfig, process: Any) -> None:
    model = DiffusionModel.of(backbone, process(VOCABULARY), 8).train()
    ids = torch.arange(24).view(3, 8) % (VOCABULARY.size - 2) + 2
    canvas = Canvas(ids, ids == 3, torch.ones_like(ids, dtype=torch.bool), torch.arange(3))
    step, level = TrainingStep(model, NelboObjective(), False), stratified(Draws.seeded(1), 0, 3, 3)
    step(canvas, level)  # tables that are kept are made by now
    with Recorded() as found:
        step(canvas, level).loss.backward()
    layers = next(i for i, name in enumerate(found.names) if name in _PRODUCTS)
    waits = [i for i, name in enumerate(found.names) if name.startswith("waits")]
    assert waits and max(waits) < layers < len(found.names) // 2, [found.names[i] for i in waits if i > layers]
