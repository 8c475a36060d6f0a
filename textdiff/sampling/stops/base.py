"""When a row is finished before its time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from textdiff.registry import family
from textdiff.sampling.step import Step


@family
class Stop(ABC):
    """Looks at each answer of the network. A row that stops takes its last step with it: all that is noisy is written.

    It never costs a network call, and draws nothing: until it says that a row ends, nothing is other than without it.

    Attributes:
        looks: whether it does; then the network is asked about all that is noisy in a row wherever it is asked at all.
    """

    looks: ClassVar[bool] = True

    @abstractmethod
    def ends(self, step: Step) -> Tensor:
        """Bool [B]: the rows that end. Every row has packed positions, which are all of its noisy ones."""
