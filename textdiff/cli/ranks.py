"""Several processes of one run, as torchrun and `accelerate launch` start them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from textdiff.errors import ConfigError, ResourceError

T = TypeVar("T")

# One process may have much more to do than another; if one dies, the launcher ends the others.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is. They only meet in `gather`."""

    rank: int
    world: int

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def has(self, number: int) -> bool:
        """Whether the work with this number is this process's."""
        return number % self.world == self.rank

    def gather(self, value: T) -> list[T]:
        """The values of all processes, on each of them; waits until all have come here.

        Raises:
            ResourceError: another process is dead.
        """
        if self.world == 1:
            return [value]
        import torch

        found: list[T | None] = [None] * self.world
        try:
            torch.distributed.all_gather_object(found, value)
        except RuntimeError:
            raise ResourceError(
                "another process of this run has ended too early; what it had written is kept"
            ) from None
        return found  # type: ignore[return-value]  # every place has been filled


def ranks_here() -> Ranks:
    """Which process this is, before the processes have met.

    Raises:
        ConfigError: the environment contradicts itself.
    """
    rank, world = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdecimal() and world.isdecimal() and int(rank) < int(world)):
        raise ConfigError(f"RANK is {rank!r} and WORLD_SIZE is {world!r}: start several processes with torchrun")
    return Ranks(int(rank), int(world))


@contextmanager
def joined() -> Iterator[Ranks]:
    """Lets the processes of a run find each other, and gives each its own GPU where there are any.

    Raises:
        ConfigError: they cannot find each other.
    """
    here = ranks_here()
    if here.world == 1:
        yield here
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", here.rank)) % torch.cuda.device_count())
    try:
        torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise ConfigError(f"process {here.rank} of {here.world} finds no other: {words}") from None
    try:
        yield here
    finally:
        torch.distributed.destroy_process_group()
