"""What a corruption process offers. All the maths of a process is here and in its siblings; others ask, nobody re-derives."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from textdiff.draws import Draws
from textdiff.registry import family
from textdiff.vocabulary import Vocabulary


@family
class ForwardProcess(ABC):
    """A process that turns tokens to noise between t = 0 and t = 1.

    Packed tensors have one row for each of N positions: ids Long [N], times float64 [N], `log_p_x0` float [N, V], the
    normalised log-probabilities of the *leave-one-out* denoiser (-inf at ids that are not writable).
    """

    vocabulary: Vocabulary

    @abstractmethod
    def sample(self, x_0: Tensor, t: Tensor, draws: Draws) -> Tensor:
        """x_t ~ q(x_t | x_0). x_0 Long [B, L], t float broadcastable to [B, L], draws with B rows. Long [B, L]."""

    @abstractmethod
    def sample_noise(self, like: Tensor, draws: Draws) -> Tensor:
        """x_1 ~ q(x_1): pure noise. Long, the shape of `like` [B, L]."""

    @abstractmethod
    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """log p(x_s | x_t) under the denoiser, s < t. Packed, [N, V]. At s = 0 it is log p(x_0 | x_t)."""

    @abstractmethod
    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The integrand at t of the negative evidence lower bound, nats, packed [N]; its mean over t ~ U(0, 1) is the bound."""
