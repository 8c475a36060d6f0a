"""Low-rank adaptation: the layers' matrices stay, and what is trained is a product of two thin ones beside each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from textdiff.backbones.base import Backbone
from textdiff.errors import ConfigError


@dataclass(frozen=True)
class LoraConfig:
    """Which low-rank adaptation. Source: arXiv 2106.09685, equation 3.

    Attributes:
        r: the rank, of every linear layer of the network's blocks.
        alpha: the product is scaled by alpha / r; by default 2 r.
    """

    r: int = 16
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.r < 1:
            raise ConfigError(f"r must be at least 1, got {self.r}")
        if self.alpha is not None and not self.alpha > 0:
            raise ConfigError(f"alpha must be above 0, got {self.alpha}")

    @property
    def scale(self) -> float:
        return (2.0 * self.r if self.alpha is None else self.alpha) / self.r


class LowRank(nn.Module):
    """W + scale B A, of a matrix W [out, in]: B [out, r] is zero at first, so that nothing has changed."""

    def __init__(self, weight: Tensor, config: LoraConfig) -> None:
        super().__init__()
        out, into = weight.shape
        rank = min(config.r, out, into)
        self.scale = config.scale
        self.down = nn.Parameter(weight.new_empty(rank, into))
        self.up = nn.Parameter(weight.new_zeros(out, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


def adapt(backbone: Backbone, config: LoraConfig, train_rest: bool) -> None:
    """Freezes the linear layers of the blocks and puts adapters beside them, which are drawn from the global generator.

    Args:
        backbone: is changed.
        config: of the adapters.
        train_rest: whether what is not in the blocks is trained, such as embeddings of new tokens and a new head.

    Raises:
        ConfigError: the network does not say what its blocks are.
    """
    blocks = backbone.repeated()
    if not blocks:
        raise ConfigError("lora: this network does not say what its blocks are; leave lora out")
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    for parameter in backbone.parameters():
        parameter.requires_grad_(train_rest and id(parameter) not in inside)
    for block in blocks:
        for layer in [module for module in block.modules() if isinstance(module, nn.Linear)]:
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, config), unsafe=True)


_ADAPTED = "parametrizations.weight."


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors by name that the model would have with its adapters added to their matrices; it stays as it is."""
    state = {name: tensor for name, tensor in model.state_dict().items() if _ADAPTED not in name}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()
    return state


def merge(backbone: Backbone) -> None:
    """Adds the adapters to their matrices, and is rid of them. A network that has none stays as it is."""
    for module in list(backbone.modules()):
        if isinstance(module, nn.Linear) and parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    for parameter in backbone.parameters():
        parameter.requires_grad_(True)
