"""Ancestral sampling with uniform noise as peers do it, over the weights of our own networks.

Written from UDLM (arXiv 2412.10193, the reverse posterior) and Duo (arXiv 2506.10892, which draws in double precision): at
each step the law of x_s over all ids at all positions, and a draw from each.
"""

from __future__ import annotations

import torch
from peer_network import PeerNetwork
from torch import Tensor

from textdiff.model import DiffusionModel


class DuoSampler:
    """Duo's ancestral sampler, for the linear schedule alpha = 1 - t and noise over all ids but one.

    Attributes:
        calls: how many times the network ran, on the whole batch each time.
        rows: vocabulary rows that its output layer made.
    """

    name = "duo"

    def __init__(self, model: DiffusionModel, compiled: bool = False) -> None:
        self.network, self.device = PeerNetwork(model, compiled), model.device
        self.ids, self.never = model.vocabulary.size, self.network.mask_id
        self.calls = self.rows = 0

    @torch.no_grad()
    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Text from noise: Long [B, length]. prompt: [B, 0], how many rows are written."""
        generator = torch.Generator(self.device).manual_seed(seed)
        x_t = torch.randint(self.ids - 1, (len(prompt), length), generator=generator, device=self.device)
        x_t += x_t >= self.never
        for k in range(steps):
            t, s = 1 - k / steps, 1 - (k + 1) / steps
            x_t = self._draw(self._law(self._p_x0(x_t, t), x_t, 1 - s, 1 - t), generator)
        return x_t

    def _p_x0(self, x_t: Tensor, t: float) -> Tensor:
        """Float64 [B, L, V]."""
        self.calls += 1
        self.rows += x_t.numel()
        scores = self.network.scores(x_t, torch.full((len(x_t),), t, device=x_t.device)).double()
        scores[:, :, self.never] = -torch.inf
        return scores.softmax(-1)

    def _law(self, p_x0: Tensor, x_t: Tensor, alpha_s: float, alpha_t: float) -> Tensor:
        """p(x_s | x_t), float64 [B, L, V], not normalised: q(x_t | x_s) times the law of x_s that the network gives."""
        noise, kept = 1 / (self.ids - 1), alpha_t / alpha_s
        law = alpha_s * p_x0 + (1 - alpha_s) * noise
        law[:, :, self.never] = 0
        back = torch.full_like(law, (1 - kept) * noise)
        back.scatter_(-1, x_t.unsqueeze(-1), kept + (1 - kept) * noise)
        return law * back

    def _draw(self, law: Tensor, generator: torch.Generator) -> Tensor:
        """One id for each law: the winner of a race of exponential clocks, in double precision."""
        noise = torch.rand(law.shape, generator=generator, device=law.device, dtype=torch.float64)
        return (law / -noise.log()).argmax(-1)
