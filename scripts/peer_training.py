"""A training step as peers do it, over the weights of our own networks, so that both do the same work.

Written from the papers: MDLM (arXiv 2406.07524, section 3.2 and its SUBS parameterisation) and the Hugging Face way of
training a masked language model by diffusion (LLaDA, arXiv 2502.09992, algorithm 1).
"""

from __future__ import annotations

import torch
from peer_network import PeerNetwork
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from textdiff.model import DiffusionModel


class PeerDiT:
    """MDLM: scores of all ids at all positions, edited into log-probabilities; plain AdamW; EMA parameter by parameter."""

    name = "mdlm"

    def __init__(self, model: DiffusionModel, compiled: bool = False) -> None:
        self.network = PeerNetwork(model, compiled)
        self.parameters = list(model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    def loss(self, x_0: Tensor, x_t: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        surprise = -self.network.log_p(x_t, t).gather(-1, x_0[:, :, None]).squeeze(-1)
        return (surprise * weight).sum() / x_0.numel()

    def optimizer(self) -> Optimizer:
        return torch.optim.AdamW(self.parameters, lr=3e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)

    @torch.no_grad()
    def after_step(self) -> None:
        for average, parameter in zip(self.average, self.parameters, strict=True):
            average.sub_((1 - 0.9999) * (average - parameter))


class PeerBert:
    """A Hugging Face masked language model under its trainer: scores of all ids at all positions, unreduced cross-entropy.

    The fused AdamW is the trainer's default; there is no average of the weights.
    """

    name = "dllm"

    def __init__(self, model: DiffusionModel) -> None:
        self.net, self.mask_id = model.backbone.network, int(model.vocabulary.mask_id or 0)
        self.parameters = list(model.parameters())

    def loss(self, x_0: Tensor, x_t: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        scores = self.net(input_ids=x_t, attention_mask=torch.ones_like(x_t)).logits
        forbidden = torch.zeros(scores.shape[-1], device=scores.device)
        forbidden[self.mask_id] = -torch.inf
        surprise = functional.cross_entropy((scores + forbidden).transpose(1, 2), x_0, reduction="none")
        masked = x_t == self.mask_id
        return (surprise * weight * masked).sum() / x_0.numel()

    def optimizer(self) -> Optimizer:
        return torch.optim.AdamW(self.parameters, lr=3e-4, fused=True)

    def after_step(self) -> None:
        """Nothing follows the optimizer."""
