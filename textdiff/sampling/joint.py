"""The law of tokens that depend on each other."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Joint(ABC):
    """The law of the packed tokens x of a step together: p(x) ∝ constraint(x) Π_i w_i(x_i), for weights w_i > 0.

    A draw satisfies the constraint together with what stands already. So any part of it may settle and the rest can
    still be satisfied: by the draw itself.
    """

    @abstractmethod
    def weighted(self, log_w: Tensor) -> Joint:
        """The law with other weights, float [N, V]; they need not be normalised."""

    @abstractmethod
    def possible(self) -> Tensor:
        """Bool [N]: whether the weights leave anything for a position and those that it depends on."""

    @abstractmethod
    def stuck(self) -> Tensor:
        """Long, one number: a packed position at which the weights leave nothing, where something is not possible."""

    @abstractmethod
    def messages(self) -> Tensor:
        """Float [N, V]: log of the sum of what the other positions weigh, over all that fits with a token here.

        Up to one number for each position; -inf at tokens that nothing fits with. A position's own weights are not in
        it: its marginal is w_i times the message.
        """

    @abstractmethod
    def draw(self, path: Tensor, token: Tensor) -> Tensor:
        """One draw, Long [N], from two independent uniforms for each position, float64 [N]."""

    @abstractmethod
    def best(self) -> Tensor:
        """The most probable x, Long [N]; of several the one with the lowest ids, the first position deciding first."""
