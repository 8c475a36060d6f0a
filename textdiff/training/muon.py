"""Muon for matrices that are sharded over processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from textdiff.training.sharding import like, whole


class ShardedMuon(torch.optim.Muon):
    """Muon where each process holds some rows of every matrix, and of its momentum.

    The momentum is local work. What it makes of a gradient is gathered once, and every process orthogonalises it as a whole:
    torch's own Muon would exchange parts of it in every product of the iteration.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    update = self._update(matrix, matrix.grad, group)
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update)

    def _update(self, matrix: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """The step of a matrix, sharded as it is."""
        momentum, state = group["momentum"], self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        gathered = whole(gradient.lerp(buffer, momentum) if group["nesterov"] else buffer)
        # torch's optimizer on a matrix of zeros, with nothing of the past: what it leaves is the step.
        step = nn.Parameter(torch.zeros_like(gathered))
        step.grad = gathered
        options = {name: group[name] for name in ("lr", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")}
        torch.optim.Muon([step], weight_decay=0.0, momentum=0.0, nesterov=False, **options).step()  # type: ignore[no-untyped-call]
        return like(step.detach(), matrix)
