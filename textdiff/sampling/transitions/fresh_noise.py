"""Everything is decided anew in each step; what is not accepted is drawn as noise again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from textdiff.processes import AbsorbingProcess
from textdiff.registry import register
from textdiff.sampling.accept import Accept
from textdiff.sampling.step import Step
from textdiff.sampling.transitions.base import Move, Transition, data_posterior
from textdiff.sampling.transitions.proposal import propose, warped
from textdiff.sampling.warps import Warp


@register(Transition, "fresh_noise")
@dataclass(frozen=True)
class FreshNoiseTransition(Transition):
    """Draws from p(x_0 | x_t) everywhere, keeps what the accept policy chooses, and draws the rest from pure noise.

    Nothing settles before the end: a token that was accepted is one that noise may have written, for the network as for the
    next step, whose policy sees a row as if it came from pure noise. So `random` accepts with probability alpha_s, and x_s
    has the law of q(x_s | x_0) for that x_0. Policies see distributions after warps. Where noise shows, as the mask does,
    what is accepted has settled, and this is the accept transition.

    Attributes:
        greedy_end: whether the last step writes the most probable tokens, whatever warps say, instead of drawing them.

    Source: DiffusionGemma in the library transformers (`EntropyBoundSampler`), whose end is greedy.
    """

    final: ClassVar[bool] = False

    greedy_end: bool = False

    def plan(self, step: Step, accept: Accept) -> Tensor:
        if isinstance(step.process, AbsorbingProcess):
            return accept.plan(step) | (step.s == 0).unsqueeze(-1)
        return step.noisy

    def move(self, step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Move:
        step = replace(step, proposal=propose(step, warps))
        ids = torch.where(_accepted(step, accept, warps) | step.last, step.proposal, step.pack(step.noise))
        if self.greedy_end:
            best = step.log_p.argmax(-1) if step.joint is None else step.joint.best()
            ids = torch.where(step.last, best, ids)
        every = torch.ones_like(step.last)
        return Move(ids, ~step.process.scored(ids, every) | step.last)


def _accepted(step: Step, accept: Accept, warps: tuple[Warp, ...]) -> Tensor:
    """Bool [N]: the positions that the policy plans and chooses, from its view of the step."""
    if warps and step.joint is None:
        step = replace(step, log_p=data_posterior(step, warped(step.log_p_x0, warps)))
    step = _from_noise(step)
    wanted = step.wanted & step.pack(accept.plan(step))
    step = replace(step, wanted=wanted)
    return step.spread(accept.choose(step.for_policy()))


def _from_noise(step: Step) -> Step:
    """The same step for a policy: from time 1, where what was accepted before may still be noise."""
    return step if isinstance(step.process, AbsorbingProcess) else replace(step, t=torch.ones_like(step.t))
