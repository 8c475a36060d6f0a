"""What a network must offer to be the body of a diffusion model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from torch import Tensor, nn

from textdiff.backbones.cache import KeyValueCache
from textdiff.errors import ConfigError
from textdiff.products import linear
from textdiff.registry import family
from textdiff.vocabulary import Vocabulary


class Backbone(nn.Module, ABC):
    """A network that looks at a whole noisy sequence and scores every id at the positions asked for.

    Attributes:
        config: what makes this network again, with fresh weights.
        uses_time: whether `t` matters.
        has_new_head: whether the weights it was loaded from had no output layer, so that this one was drawn at random.
    """

    config: BackboneConfig
    uses_time: bool = False
    has_new_head: bool = False

    @abstractmethod
    def forward(
        self, x_t: Tensor, t: Tensor, given: Tensor, valid: Tensor, where: Tensor, documents: Tensor | None = None
    ) -> Tensor:
        """What the output layer scores ids from.

        Args:
            x_t: Long [B, L], noisy ids.
            t: float [B], times; ignored where `uses_time` is false.
            given: Bool [B, L], positions whose ids are known to be clean.
            valid: Bool [B, L], not padding; other positions are never attended to.
            where: Bool [B, L], positions whose scores are wanted.
            documents: Long [B, L] or None: positions with different numbers do not see each other; see `Canvas`.

        Returns:
            Float [N, D] for the true positions of `where`, in row-major order.
        """

    @abstractmethod
    def output_layer(self) -> tuple[Tensor | None, Tensor | None]:
        """Weight [V, D] and bias [V] that make raw scores of it; no weight where `forward` already gives scores [N, V]."""

    def scores(
        self, x_t: Tensor, t: Tensor, given: Tensor, valid: Tensor, where: Tensor, documents: Tensor | None = None
    ) -> Tensor:
        """Raw scores [N, V] of all ids at the positions asked for; the arguments are those of `forward`."""
        hidden: Tensor = self(x_t, t, given, valid, where, documents)
        weight, bias = self.output_layer()
        return hidden if weight is None else linear(hidden, weight, bias)

    @abstractmethod
    def input_embeddings(self) -> nn.Module:
        """The module that embeds ids."""

    def repeated(self) -> list[nn.Module]:
        """The layers that the network is a stack of; where weights are sharded, each is gathered by itself."""
        return []

    @property
    def was_causal(self) -> bool:
        """Whether `seeing` works: the network has once learned from left to right, and may be led from there."""
        return False

    def seeing(self, visible: Tensor) -> AbstractContextManager[None]:
        """Inside the `with` a position sees only these of those that it else would see.

        Args:
            visible: Bool [B, L, L], the seeing position first; every position sees itself.
        """
        raise NotImplementedError

    @property
    def can_read_on(self) -> bool:
        """Whether `read_on` works: the network is causal, and knows how to keep what it has read."""
        return False

    def empty_cache(self, rows: int, length: int) -> KeyValueCache:
        """For so many rows of at most so many positions; see `read_on`."""
        raise NotImplementedError

    def read_on(self, cache: KeyValueCache, rows: Tensor, x_t: Tensor, last: Tensor) -> Tensor:
        """What `forward` gives for one position of some rows, of which only what is new since the last call is read.

        Args:
            cache: of `empty_cache`; is brought up to date.
            rows: Long [R], which of its rows these are.
            x_t: Long [R, L]; of no matter from `last` on.
            last: Long [R], the position of each row.

        Returns:
            Float [R, D].
        """
        raise NotImplementedError

    @property
    def can_read_parts(self) -> bool:
        """Whether `read_part` works: the network looks both ways, and what it keeps of a place depends on no time."""
        return False

    def read_part(
        self,
        cache: KeyValueCache,
        rows: Tensor,
        x_t: Tensor,
        given: Tensor,
        part: slice,
        seen: int,
        where: Tensor,
        attendable: Tensor | None = None,
    ) -> Tensor:
        """What `forward` gives if all places outside of a part are as they were when they were read last.

        Args:
            cache: of `empty_cache`; keeps what is read now.
            rows: Long [R], which of its rows these are. They have no padding.
            x_t: Long [R, L]; of no matter outside of the part.
            given: Bool [R, L].
            part: the places that are read.
            seen: how many places are attended to, from the left. All outside of the part must have been read.
            where: Bool [R, L], positions of the part whose scores are wanted.
            attendable: Bool [k, seen], which of them each place of the part attends to; None for all.

        Returns:
            Float [N, D].
        """
        raise NotImplementedError

    def compile_layers(self) -> None:
        """From now on the layers whose inputs have one shape run compiled in training.

        Raises:
            ConfigError: this network cannot.
        """
        raise ConfigError("torch_compile: this network has no layers that could be compiled by themselves")

    def use_graphs(self) -> None:
        """From now on the layers run as CUDA graphs where no gradient is wanted, as far as this network can; see `Graphs`."""

    def enable_gradient_checkpointing(self) -> None:
        """From now on keeps only what enters each layer in training, and computes the rest again in the backward pass.

        Raises:
            ConfigError: this network cannot.
        """
        raise ConfigError("gradient_checkpointing: this network cannot compute its activations again")


@family
class BackboneConfig(ABC):
    """The configuration of a backbone; its members are frozen dataclasses."""

    def resolved(self, needs_time: bool) -> BackboneConfig:
        """The configuration with every option decided that was left to the process."""
        return self

    def for_vocabulary(self, vocabulary: Vocabulary) -> BackboneConfig:
        """The configuration of the same network with a place for each id of another vocabulary."""
        return self

    @abstractmethod
    def make(self, vocabulary: Vocabulary, context_length: int) -> Backbone:
        """A new network with fresh weights."""

    def make_causal(self, vocabulary: Vocabulary, context_length: int) -> Backbone:
        """A new network of the same sizes, whose scores at a position depend on the ids before it only.

        Raises:
            ConfigError: there is none.
        """
        raise ConfigError(
            "this network reads in both directions, and the process needs one that reads from left to right, such as 'dit'"
        )

    def make_blocks(self, vocabulary: Vocabulary, context_length: int, block_size: int) -> Backbone:
        """A new network of the same sizes, whose scores depend on a position's block and the clean text before it only.

        Its `forward` takes one argument more, `clean`: Long [B, L], the ids that blocks behind them see, by default those of
        `x_t`.

        Raises:
            ConfigError: there is none.
        """
        raise ConfigError(
            "this network reads in both directions, and the process needs one that reads block by block, such as 'dit'"
        )
