"""Two ways to do the same work, timed in turn, so that what else the machine does falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from textdiff.products import plain_products

Work = Callable[[int], object]
"""Does the piece of work with this number."""


@dataclass(frozen=True)
class Pairs:
    """Seconds of each round, the peer's and ours."""

    peer: list[float]
    ours: list[float]

    @property
    def plain(self) -> dict[str, Any]:
        """The ratio of the medians, the range of the ratios of single rounds, and the medians, seconds."""
        ratios = [a / b for a, b in zip(self.peer, self.ours, strict=True)]
        return {
            "ratio": median(self.peer) / median(self.ours),
            "lowest": min(ratios),
            "highest": max(ratios),
            "peer_seconds": median(self.peer),
            "our_seconds": median(self.ours),
            "rounds": len(ratios),
        }


def by_default(peer: Work) -> Work:
    """A peer's work with its products done by the library that torch takes, whatever layers it borrows from us."""

    def work(number: int) -> object:
        with plain_products():
            return peer(number)

    return work


def alternate(peer: Work, ours: Work, rounds: int, warm_up: int = 2, device: str = "cpu") -> Pairs:
    """Runs both in turn, the pieces 0 … warm_up - 1 untimed, then `rounds` more.

    The peer is first in even rounds and second in odd ones: what one leaves behind, in caches or as heat, is for both.
    """
    for number in range(warm_up):
        peer(number), ours(number)
    found: tuple[list[float], list[float]] = [], []
    for number in range(warm_up, warm_up + rounds):
        sides = list(zip(found, (peer, ours), strict=True))
        for times, work in reversed(sides) if (number - warm_up) % 2 else sides:
            times.append(seconds(work, number, device))
    return Pairs(*found)


def seconds(work: Work, number: int, device: str) -> float:
    """How long one piece takes, until the device has done all of it.

    On one thread of a CPU that is the processor's time, which other work on the machine adds little to.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    wait_for(device)
    began = clock()
    work(number)
    wait_for(device)
    return clock() - began


def wait_for(device: str) -> None:
    """Until all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
