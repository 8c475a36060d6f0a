"""What a corruption process offers. The maths of a process is here and in its siblings; nobody else re-derives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.processes.numerics import at
from textdiff.registry import family, name_of
from textdiff.schedules import Schedule
from textdiff.vocabulary import Vocabulary


@family
class ForwardProcess(ABC):
    """A process that turns tokens to noise between t = 0 and t = 1.

    Packed tensors have one row for each of N positions: ids Long [N], times float64 [N] (or one for all), `log_p_x0`
    float [N, V], the normalised log-probabilities of the *leave-one-out* denoiser (-inf at ids that are not writable).
    """

    vocabulary: Vocabulary
    schedule: Schedule
    needs_time: ClassVar[bool] = True
    """Whether a denoiser has to be told the time: where the ids do not show how noisy they are."""
    left_to_right: ClassVar[bool] = False
    """Whether a token is predicted from those before it alone: the network must be causal, and writes in this order."""

    @property
    def causal_blocks(self) -> int | None:
        """How many tokens form a block, where a token is predicted from those before its block and from the block itself."""
        return None

    @property
    def both_sides(self) -> bool:
        """Whether a token is predicted from all that stands before and behind it."""
        return not self.left_to_right and self.causal_blocks is None

    @abstractmethod
    def sample(self, x_0: Tensor, t: Tensor, draws: Draws) -> Tensor:
        """x_t ~ q(x_t | x_0). Long [B, L]. x_0 Long [B, L], t float [B] or broadcastable to [B, L], draws of B rows."""

    @abstractmethod
    def sample_noise(self, like: Tensor, draws: Draws) -> Tensor:
        """x_1 ~ q(x_1): pure noise. Long, the shape of `like` [B, L]."""

    @abstractmethod
    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """log p(x_s | x_t) under the denoiser, s < t. Packed, [N, V]. At s = 0 it is log p(x_0 | x_t)."""

    def clean(self, log_p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_0 | x_t), packed [N, V]; t [N]."""
        return self.posterior(log_p_x0, x_t, torch.zeros_like(t), t)

    def log_rates(self, log_p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """log of the rates at which reversed time leads from x_t to each id, per unit of t. Packed, [N, V]; -inf at x_t.

        Raises:
            ConfigError: the process knows only whole steps.
        """
        raise ConfigError(f"{name_of(self)} noise moves in whole steps and has no rates: take the posterior transition")

    @abstractmethod
    def marginal(self, log_p_x0: Tensor, s: Tensor) -> Tensor:
        """log q(x_s), packed [N, V]: what an x_0 of this law, -inf at ids that are not writable, has turned into at s."""

    @abstractmethod
    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The integrand at t of the negative evidence lower bound, nats, packed [N].

        Its mean over t ~ U(0, 1) is the bound, and `boundary_nats` has to be added where that is not 0.
        """

    @abstractmethod
    def to_leave_one_out(self, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Turns logits of p(x_0 | x_t) into logits of the leave-one-out denoiser, packed [N, V]; not normalised.

        A network trained by plain cross-entropy over all positions gives the former; bound and reverse kernel need the
        latter. It is the inverse of `posterior` at s = 0.
        """

    @abstractmethod
    def boundary_nats(self, x_0: Tensor) -> Tensor:
        """What the ends add to the bound, nats, packed [N]: KL(q_1(.|x_0) || noise) and the reconstruction at t = 0."""

    def log_p_clean(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """log p(x_0 | x_t) at one id for each position, packed [N]: what plain cross-entropy scores."""
        return at(self.posterior(log_p_x0, x_t, torch.zeros_like(t), t), x_0)

    def scored(self, x_t: Tensor, free: Tensor) -> Tensor:
        """Bool [B, L]: the free positions where the integrand is not identically 0. Only these need logits."""
        return free
