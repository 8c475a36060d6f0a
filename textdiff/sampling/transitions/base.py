"""How the noisy part of a row moves from t to s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

from textdiff.processes import AbsorbingProcess
from textdiff.registry import family
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.warps import Warp


class Move(NamedTuple):
    """What a step does: what stands at the packed positions after it, and which others lose their token.

    Attributes:
        ids: Long [N].
        settled: Bool [N], which of them carry no noise any more. In a row's last step all do.
        log_p: float64 [N], log p(x_0 | x_t) of what stands then; None where the step's own `log_p` tells.
        renoised: Bool [B, L], settled positions that turn into `step.noise` now that the network has spoken; None for none.
    """

    ids: Tensor
    settled: Tensor
    log_p: Tensor | None = None
    renoised: Tensor | None = None


@family
class Transition(ABC):
    """A member says whose logits it needs, and what they do.

    Attributes:
        alone: whether it decides alone what settles and what goes back to noise: accept and renoise policies have no say.
        heeds_renoise: whether the renoise policy has, although it is alone.
        final: whether a token that has settled stays as far as it is concerned.
        reads_clean: whether its moves look at `Step.log_p`.
    """

    alone: ClassVar[bool] = False
    heeds_renoise: ClassVar[bool] = False
    final: ClassVar[bool] = True
    reads_clean: ClassVar[bool] = True

    @property
    def judges(self) -> bool:
        """Whether it is told what the network says at settled tokens too, of the rows that it asks about: `Step.judged`."""
        return False

    def plans_ahead(self, accept: Accept) -> bool:
        """Whether `plan` decides about each noisy position by itself, from draws and times alone, and all of it settles."""
        return False

    def each_alone(self, accept: Accept) -> bool:
        """Whether `move` moves each packed position by itself, but for a constraint."""
        return False

    def bounded(self, step: Step, sigma: Tensor) -> Tensor:
        """sigma of the renoise policy, float64 [B, L], no larger than the transition can make up for. By default as it is."""
        return sigma

    def forgets(self, step: Step) -> Tensor | None:
        """Bool [B, L]: noisy positions that turn into other noise whatever the network says; None for none."""
        return None

    @abstractmethod
    def plan(self, step: Step, accept: Accept) -> Tensor:
        """Bool [B, L]: the noisy positions whose logits are needed; in a row's last step all. Others are ignored."""

    @abstractmethod
    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        """The move, once the step has its distributions."""


def data_posterior(step: Step, log_p_x0: Tensor) -> Tensor:
    """log p(x_0 | x_t) [N, V] from the leave-one-out denoiser: where a mask stands, x_t itself tells nothing."""
    if isinstance(step.process, AbsorbingProcess):
        return log_p_x0
    return step.process.clean(log_p_x0, step.pack(step.x_t), step.t[step.row])
