"""The gradient of a global batch, whatever fits in memory at once and however many processes share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache
from torch import Tensor, nn

from textdiff.errors import ResourceError, wants_memory
from textdiff.text.canvas import Canvas
from textdiff.training.step import TrainingStep

_BUCKET = 1 << 25
"""Bytes that are exchanged at once: enough to keep a network busy, little beside the gradient itself."""


class BatchGradient:
    """Adds up the gradients of the parts of a batch.

    Each process works through its own share alone. Then all agree whether it fitted everywhere, and only then are gradients
    exchanged: so a process that ran out of memory never leaves the others waiting, and all take smaller parts together.
    Sharded weights are the exception, as the processes must meet in every layer: there it ends the run.

    Attributes:
        rows: samples of a part at most. It is halved when memory runs out, and stays so.
    """

    def __init__(self, step: TrainingStep, accelerator: Accelerator, rows: int, sharded: bool) -> None:
        self.rows = rows
        self._step, self._accelerator, self._sharded = step, accelerator, sharded
        self._parameters = [p for p in step.parameters() if p.requires_grad]

    def compute(
        self,
        canvas: Canvas,
        level: Tensor,
        tokens: int,
        say: Callable[[str], None],
        attempt: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Tensor:
        """Leaves the gradient of the loss per token in `.grad` of the parameters, in every process the same.

        Args:
            canvas: this process's share of the batch, on any device; as many rows in every process.
            level: float64 [B], the noise levels of its rows.
            tokens: free tokens of the whole batch.
            say: told when the parts become smaller.
            attempt: surrounds each attempt, so that one which failed leaves no trace in what is random.

        Returns:
            Float64 [2], the loss and the NELBO per token of the whole batch, on the device: a single process has not waited
            for them.

        Raises:
            ResourceError: a single sample needs more memory than there is.
        """
        while True:
            with attempt():
                own, fitted = self._own_share(canvas, level, tokens)
            if self._accelerator.num_processes > 1:
                own, fitted, used = self._agreed(own, fitted)
                if fitted:
                    self._exchange(used)
            if fitted:
                return own / tokens
            self.clear()
            clear_device_cache(garbage_collection=True)
            rows = min(self.rows, len(canvas.ids))
            if rows == 1:
                raise _too_much(rows)
            say(f"there is not enough memory for {rows} samples at once: they are split")
            self.rows = -(-rows // 2)

    def clear(self) -> None:
        """Drops all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def backward(self, canvas: Canvas, level: Tensor, tokens: int, rows: int) -> Tensor:
        """Adds the gradients of this process's share alone, so many rows at a time: float64 [2], its loss and its nats.

        Raises:
            MemoryError, RuntimeError: see `wants_memory`.
            ResourceError: instead of these, where weights are sharded and so the others cannot be told.
        """
        # Sharded gradients are averaged over the processes as they are made; the loss is a sum over the whole batch.
        scale = (self._accelerator.num_processes if self._sharded else 1) / tokens
        device = self._accelerator.device
        canvas, level = canvas.to(device), level.to(device, non_blocking=True)
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        try:
            for start in range(0, len(canvas.ids), rows):
                part = slice(start, start + rows)
                report = self._step(canvas.rows(part), level[part])
                (report.loss * scale).backward()
                sums += torch.stack((report.loss.detach().double(), report.nelbo_nats))
        except (MemoryError, RuntimeError) as error:
            if self._sharded and wants_memory(error):
                raise _too_much(rows) from None
            raise
        return sums

    def _own_share(self, canvas: Canvas, level: Tensor, tokens: int) -> tuple[Tensor, bool]:
        """As `backward`, and whether there was memory enough."""
        try:
            return self.backward(canvas, level, tokens, self.rows), True
        except (MemoryError, RuntimeError) as error:
            if not wants_memory(error):
                raise
        return torch.zeros(2, dtype=torch.float64, device=self._accelerator.device), False

    def _agreed(self, sums: Tensor, fitted: bool) -> tuple[Tensor, bool, list[bool]]:
        """The sums over all processes, whether all had memory enough, and which parameters have a gradient in any of them."""
        flags = [not fitted, *(p.grad is not None for p in self._parameters)]
        own = torch.cat((sums, torch.tensor(flags, dtype=torch.float64, device=sums.device)))
        every = self._accelerator.reduce(own, "sum")
        failed, *used = (bool(flag) for flag in every[2:].tolist())
        return every[:2], not failed, used

    def _exchange(self, used: list[bool]) -> None:
        if self._sharded:
            return
        gradients = []
        for parameter, is_used in zip(self._parameters, used, strict=True):
            if is_used:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            if len(bucket) == 1 and bucket[0].is_contiguous():  # a large one: a copy might not fit
                torch.distributed.all_reduce(bucket[0])
                continue
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            torch.distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def same_start(module: nn.Module) -> None:
    """Gives every process the weights and buffers of the first."""
    for tensor in (*module.parameters(), *module.buffers()):
        torch.distributed.broadcast(tensor.detach(), 0)


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of tensors of `_BUCKET` bytes, or of one tensor that is larger."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.nbytes > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def _too_much(rows: int) -> ResourceError:
    return ResourceError(
        f"there is not enough memory for a batch of {rows}; make the batch, the context or the model smaller"
    )
