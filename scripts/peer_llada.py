"""Confidence decoding block after block as peers do it, over the weights of our own networks.

Written from LLaDA (arXiv 2502.09992, section 2.4 and its appendix on inference), which dllm follows: in each step scores of
all ids at all positions, at temperatures above 0 with noise in double precision on all of them; the most probable
proposals of the open block settle.
"""

from __future__ import annotations

import torch
from peer_network import PeerNetwork
from torch import Tensor

from textdiff.model import DiffusionModel


class LladaSampler:
    """LLaDA's sampler.

    Attributes:
        block: positions of a block.
        temperature: 0 for the most probable id.
        calls: how many times the network ran, on the whole batch each time.
        rows: vocabulary rows that its output layer made.
    """

    name = "llada"

    def __init__(self, model: DiffusionModel, block: int, temperature: float, compiled: bool = False) -> None:
        self.network, self.device = PeerNetwork(model, compiled), model.device
        self.block, self.temperature = block, temperature
        self.calls = self.rows = 0

    @torch.no_grad()
    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Goes on from prompts [B, P], P from 0, in `steps` steps, of which each block has as many: Long [B, length]."""
        generator = torch.Generator(self.device).manual_seed(seed)
        given = prompt.shape[1]
        x = torch.full((len(prompt), length), self.network.mask_id, device=self.device)
        x[:, :given] = prompt
        blocks = range(given, length, self.block)
        for start in blocks:
            stop = min(start + self.block, length)
            for count in _evenly(stop - start, steps // len(blocks)):
                x = self._step(x, stop, count, generator)
        return x

    def _step(self, x: Tensor, stop: int, count: int, generator: torch.Generator) -> Tensor:
        """`count` masks of each row turn into tokens, all before the position `stop`."""
        self.calls += 1
        self.rows += x.numel()
        masked = x == self.network.mask_id
        scores = self.network.scores(x, torch.zeros(len(x), device=x.device))
        scores[:, :, self.network.mask_id] = -torch.inf
        proposed = torch.where(masked, self._noised(scores, generator).argmax(-1), x)
        p = scores.double().softmax(-1).gather(-1, proposed.unsqueeze(-1)).squeeze(-1)
        # to three decimals, as we have it: else rounding errors would tell equal ones apart, and differently on both sides
        confidence = torch.where(masked, p.log().round(decimals=3), -torch.inf)
        confidence[:, stop:] = -torch.inf
        chosen = confidence.sort(dim=-1, descending=True, stable=True).indices[:, :count]
        return x.scatter(-1, chosen, proposed.gather(-1, chosen))

    def _noised(self, scores: Tensor, generator: torch.Generator) -> Tensor:
        """What is largest at a draw from the tempered law: exp(score) / (-log u)^temperature, in double precision."""
        if self.temperature == 0:
            return scores
        noise = torch.rand(scores.shape, generator=generator, device=scores.device, dtype=torch.float64)
        return scores.double().exp() / (-noise.log()) ** self.temperature


def _evenly(count: int, steps: int) -> list[int]:
    """`count` things over the steps, more in the first ones."""
    return [count // steps + (k < count % steps) for k in range(steps)]
