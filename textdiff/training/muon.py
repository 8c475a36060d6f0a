"""Muon: matrices are moved by their momentum made orthogonal, all of one shape together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from textdiff.training.sharding import here, like, whole

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Muon with AdamW's update size, for matrices that are whole or of which each process holds some rows.

    torch's own takes one matrix after the other: on a GPU that is a thousand small pieces of work a step, which cost more
    than a small network does. Of sharded matrices the momentum is local work; what comes of it is gathered once, and every
    process orthogonalises it as a whole: torch's would exchange parts of it in every product of the iteration.

    Args:
        matrices: what is trained.
        lr: the learning rate.
        weight_decay: how much of a matrix is taken away in a step, times the rate.
        momentum: of the gradient; Nesterov's.

    Source: Muon (Jordan et al. 2024); its update size and weight decay, arXiv 2502.16982, equation 4.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = sorted((matrix for matrix in group["params"] if matrix.grad is not None), key=_shape)
            for _, alike in groupby(moved, key=_shape):
                self._move(list(alike), group)

    def _move(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        """A step of matrices of one shape."""
        directions = self._directions(matrices, group["momentum"])
        size = -group["lr"] * 0.2 * math.sqrt(max(directions.shape[1:]))
        steps = orthogonal(directions)
        parts = [here(matrix) for matrix in matrices]
        torch._foreach_mul_(parts, 1 - group["lr"] * group["weight_decay"])
        own = [here(like(step, matrix)) for step, matrix in zip(steps.unbind(), matrices, strict=True)]
        torch._foreach_add_(parts, own, alpha=size)

    def _directions(self, matrices: list[nn.Parameter], momentum: float) -> Tensor:
        """[K, m, n]: the gradients with their momentum, which is brought up to date."""
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        buffers = [self._buffer(matrix) for matrix in matrices]
        torch._foreach_lerp_([here(b) for b in buffers], [here(g) for g in gradients], 1 - momentum)
        return torch.stack([whole(g.lerp(b, momentum)) for g, b in zip(gradients, buffers, strict=True)])

    def _buffer(self, matrix: nn.Parameter) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """The nearest matrices with singular values about 1 (0.7 to 1.2), bfloat16, by Newton and Schulz's iteration.

    Args:
        matrices: [K, m, n].
        rounds: of the iteration.
    """
    if matrices.device.type == "cpu":  # where one product is enough to do
        return torch.stack([_orthogonal(matrix, torch.addmm, rounds) for matrix in matrices])
    return _orthogonal(matrices, torch.baddbmm, rounds)


def _orthogonal(matrices: Tensor, add_product: Callable[..., Tensor], rounds: int) -> Tensor:
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.bfloat16()
    x = x.mT if tall else x
    x = x.div_(x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7))
    for _ in range(rounds):
        square = x @ x.mT
        x = add_product(x, add_product(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _shape(matrix: Tensor) -> tuple[int, ...]:
    return tuple(matrix.shape)
