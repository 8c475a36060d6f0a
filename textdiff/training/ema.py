"""An exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from textdiff.training.sharding import here, like


class ExponentialMovingAverage:
    """Averages the parameters of a model, all of them in one fused pass a step."""

    def __init__(self, model: nn.Module) -> None:
        self._live = list(model.parameters())
        self._names = [name for name, _ in model.named_parameters()]
        self._average = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """average = decay * average + (1 - decay) * weights."""
        live = [here(p.detach()) for p in self._live]
        torch._foreach_lerp_([here(average) for average in self._average], live, 1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model, of whole weights, holds the average inside the `with`, its own weights after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for live, average in zip(self._live, self._average, strict=True):
            kept = live.detach().clone()
            live.copy_(average)
            average.copy_(kept)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by parameter name, sharded where the parameters are."""
        return dict(zip(self._names, self._average, strict=True))

    def shaped(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors by parameter name, on the devices of the averages, sharded where those are."""
        return {name: like(tensors[name], own).to(own.device) for name, own in self.tensors().items()}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Takes averages that `tensors` gave, whole."""
        for name, average in zip(self._names, self._average, strict=True):
            average.copy_(like(tensors[name], average))
