"""Weights of which every process holds a part (FSDP2), and whole ones, under the same names.

Source: PyTorch FSDP, arXiv 2304.11277. `fully_shard` is called here and not by Accelerate, which shards on accelerators only:
so the same code runs, and is tested, on CPUs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from textdiff.errors import ConfigError
from textdiff.model import DiffusionModel
from textdiff.training.devices import asked_for


@dataclass(frozen=True)
class Sharding:
    """How weights are spread over processes.

    Attributes:
        mesh: the processes, in one dimension.
        reshard_after_forward: whether a layer's weights are gathered anew for the backward pass, which saves memory.
    """

    mesh: DeviceMesh
    reshard_after_forward: bool

    @staticmethod
    def of(wanted: bool, accelerator: Accelerator) -> Sharding | None:
        """As the recipe or `accelerate launch` wants it; None where weights stay whole, as they do in a single process.

        Raises:
            ConfigError: `accelerate launch` was asked for a kind that is not offered.
        """
        launched = asked_for("FSDP")
        if not (wanted or launched):
            return None
        plugin = FullyShardedDataParallelPlugin(fsdp_version=None if launched else 2)
        if plugin.fsdp_version != 2:
            raise ConfigError("accelerate launch was told to use FSDP 1; give --fsdp_version 2")
        if plugin.activation_checkpointing:
            raise ConfigError("leave out --fsdp_activation_checkpointing and set training.gradient_checkpointing=true")
        if isinstance(plugin.cpu_offload, CPUOffloadPolicy):
            raise ConfigError("weights cannot be offloaded to the CPU; leave out --fsdp_offload_params")
        if accelerator.num_processes == 1:
            return None
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        return Sharding(mesh, bool(plugin.reshard_after_forward))

    def copy(self, model: DiffusionModel) -> DiffusionModel:
        """A model with the same weights, on the device, each layer of which is spread; `model` stays as it is.

        What surrounds the layers is to be spread by `spread` with the module that runs the copy.
        """
        made = copy.deepcopy(model)
        for layer in made.backbone.repeated():
            self.spread(layer)
        return made

    def spread(self, module: nn.Module) -> None:
        """Spreads all weights in a module that are not spread yet. They are gathered whenever the module runs."""
        fully_shard(module, mesh=self.mesh, reshard_after_forward=self.reshard_after_forward)


def here(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; it shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. Where it is spread, all processes must ask for it at once."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """A whole tensor, spread as another one of its shape is."""
    if not isinstance(model, DTensor):
        return tensor
    device = here(model).device
    return distribute_tensor(tensor.to(device), model.device_mesh, model.placements, src_data_rank=None)


@torch.no_grad()
def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies tensors into the parameters of these names. Either may be spread and the other whole."""
    for name, parameter in module.named_parameters():
        parameter.copy_(like(whole(tensors[name]), parameter))
