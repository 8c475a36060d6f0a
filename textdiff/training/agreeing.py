"""What the processes of a run must know of each other: numbers, added up or compared."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list


def total(accelerator: Accelerator, number: int) -> int:
    """The sum of the numbers that the processes have."""
    if accelerator.num_processes == 1:
        return number
    counted = torch.tensor(number, device=accelerator.device)
    return int(accelerator.reduce(counted, "sum"))


def largest(accelerator: Accelerator, number: int) -> int:
    """The largest of the numbers that the processes have."""
    if accelerator.num_processes == 1:
        return number
    return int(accelerator.gather(torch.tensor([number], device=accelerator.device)).max())


def smallest(accelerator: Accelerator, number: int) -> int:
    """The smallest of the numbers that the processes have."""
    return -largest(accelerator, -number)


def of_the_first(number: float | None) -> float | None:
    """The number that the first process has."""
    numbers: list[float | None] = [number]
    broadcast_object_list(numbers)
    return numbers[0]


def any_of(accelerator: Accelerator, here: bool) -> bool:
    """Whether something holds in one of the processes at least."""
    return bool(largest(accelerator, int(here)))
