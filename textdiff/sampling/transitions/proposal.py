"""The tokens that would be written."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from textdiff.draws import categorical
from textdiff.sampling.joint import Joint
from textdiff.sampling.step import Step, Stream
from textdiff.sampling.transitions.base import data_posterior
from textdiff.sampling.warps import Warp


def propose(step: Step, warps: tuple[Warp, ...]) -> Tensor:
    """Long [N]: x_0 ~ p(x_0 | x_t), warped; a joint draw that satisfies the constraint where positions hang together.

    There, warps act on what each position says by itself, among the tokens that it has in any sequence that satisfies
    the constraint. They never act on marginals: those know the constraint already, and it would count twice. A greedy
    warp makes the proposal the most probable sequence. Where all that other warps leave breaks the constraint for a
    group of positions, that whole group goes without truncation, at the same temperature: see `Warp.softened`.
    """
    if step.joint is None:
        return draw(step, data_posterior(step, warped(step.log_p_x0, warps)) if warps else step.log_p)
    if not warps:
        return _draw_together(step, step.joint)
    log_w = step.log_alone.masked_fill(step.log_p.isneginf(), -torch.inf).log_softmax(-1)
    if any(warp.greedy for warp in warps):
        return step.joint.weighted(log_w).best()
    return _draw_together(step, _warped_together(step, step.joint, log_w, warps))


def warped(log_p: Tensor, warps: tuple[Warp, ...]) -> Tensor:
    """Distributions [N, V] after all warps, in their order."""
    return reduce(lambda log_p, warp: warp(log_p), warps, log_p)


def draw(step: Step, log_p: Tensor) -> Tensor:
    """One token for each packed position, from log-probabilities [N, V]."""
    return categorical(log_p.exp(), step.drawn(Stream.TOKEN))


def _warped_together(step: Step, joint: Joint, log_w: Tensor, warps: tuple[Warp, ...]) -> Joint:
    """The joint law of warped weights; of softer ones, at last of `log_w` itself, for groups that have nothing left."""
    log_p = warped(log_w, warps)
    joint = joint.weighted(data_posterior(step, log_p))
    for softer in (warps, ()):
        possible = joint.possible()
        if possible.all():
            break
        soft = reduce(lambda log_p, warp: warp.softened(log_p), softer, log_w)
        log_p = torch.where(possible.unsqueeze(-1), log_p, soft)
        joint = joint.weighted(data_posterior(step, log_p))
    return joint


def _draw_together(step: Step, joint: Joint) -> Tensor:
    return joint.draw(step.drawn(Stream.PATH), step.drawn(Stream.MEMBER))
