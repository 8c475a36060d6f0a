"""Ancestral sampling as peers do it, over the weights of our own networks, so that both draw from the same law.

Written from MDLM (arXiv 2406.07524, equation 7 and the section on sampling): at each step a law over all ids and the mask
for every position, a draw from it everywhere, and the network's answer kept as long as no token has changed, which is
allowed where the network is not told the time ("ddpm_cache").
"""

from __future__ import annotations

import torch
from peer_network import PeerNetwork
from torch import Tensor

from textdiff.model import DiffusionModel


class PeerSampler:
    """MDLM's sampler with its cache, for the linear schedule alpha = 1 - t.

    Attributes:
        calls: how many times the network ran, on the whole batch each time.
        rows: vocabulary rows that its output layer made.
    """

    name = "mdlm"

    def __init__(self, model: DiffusionModel, compiled: bool = False) -> None:
        self.network, self.device = PeerNetwork(model, compiled), model.device
        self.calls = self.rows = 0

    @torch.no_grad()
    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Goes on from prompts [B, P], P from 0: Long [B, length]."""
        mask = self.network.mask_id
        generator = torch.Generator(self.device).manual_seed(seed)
        x_t = torch.full((len(prompt), length), mask, device=self.device)
        x_t[:, : prompt.shape[1]] = prompt
        p_x0: Tensor | None = None
        for k in range(steps):
            t, s = 1 - k / steps, 1 - (k + 1) / steps
            if p_x0 is None:
                p_x0 = self._p_x0(x_t, t)
            law = p_x0 * (t - s)
            law[:, :, mask] = s
            drawn = _draw(law, generator)
            x_s = torch.where(x_t == mask, drawn, x_t)
            if not torch.equal(x_s, x_t):
                p_x0 = None
            x_t = x_s
        return x_t

    def _p_x0(self, x_t: Tensor, t: float) -> Tensor:
        """Float32 [B, L, V]."""
        self.calls += 1
        self.rows += x_t.numel()
        time = torch.full((len(x_t),), t, device=x_t.device)
        return self.network.log_p(x_t, time).exp()


def _draw(law: Tensor, generator: torch.Generator) -> Tensor:
    """One id for each law [..., V], not normalised: the winner of a race of exponential clocks, in single precision.

    That is the Gumbel trick without the logarithm of the law.
    """
    noise = torch.rand(law.shape, generator=generator, device=law.device)
    return (law / (1e-10 - (noise + 1e-10).log())).argmax(-1)
