"""Training steps that change nothing, to find out how many samples fit in memory at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache
from torch.optim import Optimizer

from textdiff.data import Loader
from textdiff.errors import ResourceError
from textdiff.training.agreeing import any_of, smallest
from textdiff.training.fitting import rows_that_fit
from textdiff.training.gradient import BatchGradient
from textdiff.training.memory import gauge_for
from textdiff.training.optimizers import set_learning_rate

_NEARLY_ALL = 1 - 1e-6
_TOKENS_PER_CORE = 2048
"""Of a forward pass on CPUs: more are no faster. On one core networks of width 64 and 256 train at 95 % of their best speed or
more from 1,024 to 4,096 tokens; with 32,768 the wider one is slower by a fifth."""


def rows_at_once(
    gradient: BatchGradient,
    optimizers: Sequence[Optimizer],
    loader: Loader,
    most: int,
    accelerator: Accelerator,
) -> int:
    """As many samples as fit, at most `most`; see `rows_that_fit`. The optimizers must be fresh, and are left so.

    The samples are the costliest there are: every token free and noise. On CPUs the search ends at `_TOKENS_PER_CORE`.
    """

    def trial(rows: int) -> None:
        clear_device_cache()
        canvas = loader.batch(0, rows)
        writable = loader.vocabulary.writable()[canvas.ids]
        canvas = replace(canvas, frozen=~writable, hidden=None, blank=None)
        level = torch.full((rows,), _NEARLY_ALL, dtype=torch.float64, device=accelerator.device)
        gradient.backward(canvas, level, 1, rows)
        for optimizer in optimizers:
            _allocate_state(optimizer)

    if accelerator.device.type == "cpu":
        length = loader.batch(0, 1).shape[1]
        most = smallest(accelerator, min(most, max(1, _TOKENS_PER_CORE * torch.get_num_threads() // length)))
    try:
        rows = rows_that_fit(trial, most, gauge_for(accelerator.device), functools.partial(any_of, accelerator))
    except ResourceError as error:
        number = "training.per_device_train_batch_size"
        raise ResourceError(f"while trying how many samples fit: {error}; or give {number} a number") from None
    finally:
        gradient.clear()
        for optimizer in optimizers:
            optimizer.state.clear()
    return min(rows, most)


def _allocate_state(optimizer: Optimizer) -> None:
    """Makes an optimizer's state, without a step: a gradient and a rate of zero leave the weights as they are."""
    if optimizer.state:
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.zero_()
    set_learning_rate([optimizer], 0.0)
    optimizer.step()
