"""One step of uniform noise, taken apart: nobody asks the network about what stays in any case.

With k = alpha_t / alpha_s, K ids and z = x_t, p(x_s = j | x_t = z) is in proportion to

    (1 - k) (alpha_s x_0(j) + (1 - alpha_s) / K)  +  [j = z] k (alpha_s K x_0(z) + 1 - alpha_s):

a move to what the network says, a move to noise, or none. Only how likely it is to stay depends on the network, and it is
never less so than with x_0(z) = 0. Where t = 1 nothing is left of the text, k = 0, and what moves to noise is known as well.
Source: the posterior is that of UDLM, arXiv 2412.10193.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.draws import categorical
from textdiff.processes import UniformProcess
from textdiff.processes.numerics import TINY
from textdiff.sampling.step import Step, Stream


def comes_apart(step: Step) -> bool:
    """Whether the step is one of uniform noise, and its law that of the network alone."""
    guidance = step.guidance
    return isinstance(step.process, UniformProcess) and not (guidance.asks_twice or guidance.classifier)


def may_move(step: Step) -> Tensor:
    """Bool [B, L]: the positions that neither stay in any case nor move to noise in any case."""
    kept = _kept(step)
    moves, stays = 1 - kept, kept * (1 - step.alpha_s)
    to_text = torch.where(kept == 0, step.alpha_s, moves)
    return step.uniform(Stream.ACCEPT) * (moves + stays).unsqueeze(-1) < to_text.unsqueeze(-1)


def turns_to_noise(step: Step) -> Tensor | None:
    """Bool [B, L]: the positions that move to noise in any case; None where there can be none."""
    pure = _kept(step) == 0
    if not step.x_t.is_cuda and not pure.any():
        return None
    return pure.unsqueeze(-1) & (step.uniform(Stream.ACCEPT) >= step.alpha_s.unsqueeze(-1))


def all_noise(step: Step) -> Tensor:
    """Bool [N]: the packed positions of rows of which nothing has survived."""
    return (_kept(step) == 0)[step.row]


def left_over(step: Step, log_p: Tensor) -> Tensor:
    """Of log p(x_s | x_t) [N, V] what is left, not normalised, once it is known that a position may move."""
    kept = _kept(step)
    stays = kept * (1 - step.alpha_s)
    surely = (stays / (1 - kept + stays))[step.row]
    z = step.pack(step.x_t).unsqueeze(-1)
    here = (log_p.gather(-1, z).double().exp() - surely.unsqueeze(-1)).clamp(min=0)
    return log_p.scatter(-1, z, here.log().to(log_p.dtype))


def moved(step: Step, log_p_x0: Tensor) -> Tensor:
    """Long [N]: x_s for positions that may move. log_p_x0: [N, V] of the leave-one-out denoiser."""
    process, z = step.process, step.pack(step.x_t)
    assert isinstance(process, UniformProcess)
    kept, alpha_s = _kept(step)[step.row], step.alpha_s[step.row]
    p_z = log_p_x0.gather(-1, z.unsqueeze(-1)).squeeze(-1).double().exp()
    stays = kept * (alpha_s * process.vocabulary.writable_count * p_z + 1 - alpha_s)
    place = step.drawn(Stream.ACCEPT) * (1 - kept + stays)
    noise = process.noise(step.drawn(Stream.NOISE), step.t[step.row])
    ids = torch.where(place < 1 - kept, noise, z)
    drawn = (place < (1 - kept) * alpha_s).nonzero().squeeze(-1)
    uniform = step.drawn(Stream.TOKEN)[drawn]
    return ids.index_copy(0, drawn, categorical(log_p_x0[drawn].exp_(), uniform))


def _kept(step: Step) -> Tensor:
    """Float64 [B]: the probability of having survived from s to t."""
    return step.alpha_t / step.alpha_s.clamp(min=TINY)
