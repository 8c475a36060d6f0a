"""Whether two ancestral samplers draw from the law that both claim, where it can be worked out in full."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from bench_shapes import MASK, Shape
from torch import Tensor

from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas

SMALL = Shape(1, 32, 2, 5, 2, 20_000, times=False)
"""Two positions, four ids and the mask: 25 states, 16 results."""
STEPS = 3
ERROR_RATE = 1e-4
"""How often a right sampler is refused, over all seeds; the seed is fixed."""


def sharpened(model: DiffusionModel) -> DiffusionModel:
    """The same, with an output layer that makes ids differ a lot: a law that is nearly even shows no fault."""
    weight, _ = model.backbone.output_layer()
    with torch.no_grad():
        weight.normal_(std=0.6, generator=torch.Generator(weight.device).manual_seed(1))
    return model.eval()


def p_value(ids: Tensor, law: Tensor) -> float:
    """Of Pearson's chi-square test that rows of ids [R, 2] come from a law, float64 [V, V]; 0 where a row cannot be."""
    counts = torch.zeros_like(law).index_put(
        (ids[:, 0].cpu(), ids[:, 1].cpu()), torch.ones(()).double(), accumulate=True
    )
    possible = law > 0
    if counts[~possible].any():
        return 0.0
    expected = law[possible] * len(ids)
    distance = ((counts[possible] - expected) ** 2 / expected).sum()
    return float(torch.special.gammaincc((possible.sum() - 1) / 2, distance / 2))


@torch.no_grad()
def ancestral_law(model: DiffusionModel, steps: int) -> Tensor:
    """The law of what `steps` ancestral steps write at two positions, float64 [V, V], by going through all states.

    In a step from t to s a mask settles with probability (t - s) / t, on an id from the network's law of that position.
    Source: MDLM, arXiv 2406.07524, equation 7, for alpha = 1 - t.
    """
    size = model.vocabulary.size
    states = torch.tensor(list(itertools.product(range(size), repeat=2)))
    nothing = torch.zeros_like(states, dtype=torch.bool)
    canvas = Canvas(states, nothing, ~nothing, torch.zeros(len(states), dtype=torch.long)).to(model.device)
    time = torch.ones(len(states), device=model.device)
    p_x0 = model.denoise(canvas.ids, time, canvas, canvas.free).double().softmax(-1).cpu().view(-1, 2, size)
    law = (states == MASK).all(-1).double()
    for k in range(steps):
        settles = 1 / (steps - k)
        moved = settles * p_x0
        moved[:, :, MASK] = 1 - settles
        stands = torch.nn.functional.one_hot(states, size).double()
        moved = torch.where((states == MASK).unsqueeze(-1), moved, stands)
        law = torch.einsum("s,sa,sb->ab", law, moved[:, 0], moved[:, 1]).flatten()
    return law.view(size, size)


Sample = Callable[[DiffusionModel, Shape, int, int], Tensor]


def require_law(sides: dict[str, Sample], model: DiffusionModel) -> dict[str, float]:
    """The p-value of each sampler's rows on the small model; ends the script where one is below `ERROR_RATE`.

    sides: by name a function of (model, shape, steps, seed) that gives ids.
    """
    law = ancestral_law(model, STEPS)
    found = {name: p_value(sample(model, SMALL, STEPS, 7), law) for name, sample in sides.items()}
    for name, value in found.items():
        if value < ERROR_RATE:
            raise SystemExit(f"what {name} draws does not follow the law of ancestral sampling (p = {value:.1e})")
    return found
