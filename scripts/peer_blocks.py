"""Block diffusion without a cache, as peers write it, over the weights of our own network.

Written from BD3-LM (arXiv 2503.09573, the section on sampling) with first hitting (arXiv 2409.02908): one token of the block
settles in each step, and each step reads all text up to the end of the block anew. The law over all ids is made, in double
precision, for each position of the block.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from textdiff.backbones import DiT
from textdiff.backbones.block_masks import before_and_within
from textdiff.backbones.layers import rotary_table
from textdiff.model import DiffusionModel


class PeerBlocks:
    """Writes text from nothing. `positions`: how many went through the network."""

    name = "bd3lms without cache"

    def __init__(self, model: DiffusionModel) -> None:
        assert isinstance(model.backbone, DiT) and model.process.causal_blocks is not None
        self.net, self.size = model.backbone, model.process.causal_blocks
        self.mask_id, self.positions = int(model.vocabulary.mask_id or 0), 0

    @torch.no_grad()
    def sample(self, rows: int, length: int, seed: int) -> Tensor:
        """Long [rows, length]."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.empty(rows, 0, dtype=torch.long)
        for start in range(0, length, self.size):
            x = torch.cat((x, torch.full((rows, min(self.size, length - start)), self.mask_id)), 1)
            for _ in range(start, x.shape[1]):
                law = self.log_p(x, start).double().exp()
                noise = torch.rand(law.shape, generator=generator, dtype=torch.float64)
                drawn = (law / (1e-10 - (noise + 1e-10).log())).argmax(-1)
                masked = (x[:, start:] == self.mask_id).double()
                chosen = torch.multinomial(masked, 1, generator=generator)
                x[:, start:].scatter_(1, chosen, drawn.gather(1, chosen))
        return x

    def log_p(self, x_t: Tensor, start: int) -> Tensor:
        """Log-probabilities of the block that begins at `start` and ends the rows, [B, k, V]."""
        self.positions += x_t.numel()
        net, length = self.net, x_t.shape[1]
        x = net.embed(x_t)
        seen = before_and_within(self.size, 0, length, x.device)
        table = rotary_table(length, net.config.hidden_size // net.config.num_attention_heads, x.device)
        for block in net.blocks:
            x = block(x, None, table, seen)
        weight, bias = net.output_layer()
        scores = functional.linear(net.norm(x[:, start:], None), weight, bias)
        scores[..., self.mask_id] = -torch.inf
        return scores.log_softmax(-1)
