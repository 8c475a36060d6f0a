"""The optimizers of a run."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from textdiff.training.config import TrainingConfig
from textdiff.training.muon import Muon

_SHARE = "rate_share"
"""Of a parameter group: its rate as a multiple of the run's."""


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """AdamW, fused; with `optim: muon` the matrices inside the blocks go to Muon. Embeddings and vectors are not decayed.

    Source: Muon with AdamW's update size, arXiv 2502.16982.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim == 2 and id(p) not in embeddings]
    rest = [p for p in trained if p.ndim != 2 or id(p) in embeddings]
    rest_rate = config.embedding_learning_rate or config.learning_rate
    groups = [{"params": rest, "weight_decay": 0.0, _SHARE: rest_rate / config.learning_rate}]
    muon = config.optim == "muon"
    if not muon:
        groups.insert(0, {"params": matrices, "weight_decay": config.weight_decay})
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
    if not (muon and matrices):
        return [adamw]
    return [adamw, Muon(matrices, config.learning_rate, config.weight_decay)]


def set_learning_rate(optimizers: list[Optimizer], rate: float) -> None:
    """Gives every parameter group this rate, or its multiple of it."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get(_SHARE, 1.0)
