"""Our samplers as the benches call them, with counts of what the network did."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from bench_shapes import MASK
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.model import DiffusionModel
from textdiff.sampling import preset
from textdiff.text.canvas import Canvas


@dataclass
class Ours:
    """A named sampler on a model.

    Attributes:
        block: positions that are written at once, from the left; None for all. As in LLaDA (arXiv 2502.09992) all that is
            not written yet is seen as masks.
        calls: rows of the batch that went through the network.
        rows: positions that were scored.
    """

    model: DiffusionModel
    preset: str = "ancestral"
    block: int | None = None
    calls: int = 0
    rows: int = 0

    def read(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Readout:
        readout = self.model.read(x_t, t, canvas, where)
        self.calls, self.rows = self.calls + len(x_t), self.rows + len(readout.hidden)
        return readout

    def sample(self, prompt: Tensor, length: int, steps: int, seed: int) -> Tensor:
        """Goes on from prompts [B, P], P from 0, in `steps` steps, of which each block has as many: Long [B, length]."""
        given, places = prompt.shape[1], torch.arange(length, device=prompt.device)
        ids = torch.full((len(prompt), length), MASK, device=prompt.device)
        ids[:, :given] = prompt
        size = self.block or length - given
        starts = range(given, length, size)
        sampler = replace(preset(self.preset), steps=steps // len(starts))
        for start in starts:
            free = ((places >= start) & (places < start + size)).expand(ids.shape)
            seeds = torch.arange(len(ids), device=ids.device) + (seed << 20) + (start << 40)
            canvas = Canvas(ids, ~free, torch.ones_like(free), seeds)
            ids = sampler.sample(self.read, self.model.process, canvas).ids
        return ids
