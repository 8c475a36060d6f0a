"""Whether samplers draw from the law that they claim, where it can be worked out in full."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from bench_shapes import MASK, Shape
from torch import Tensor
from torch.nn.functional import one_hot

from textdiff.model import DiffusionModel
from textdiff.processes import AbsorbingProcess
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


def all_states(size: int) -> Tensor:
    """Long [V * V, 2]."""
    return torch.tensor(list(itertools.product(range(size), repeat=2)))


@torch.no_grad()
def network_law(model: DiffusionModel, t: float) -> Tensor:
    """What the network says of both positions in each state: float64 [V * V, 2, V]."""
    states = all_states(model.vocabulary.size)
    nothing = torch.zeros_like(states, dtype=torch.bool)
    canvas = Canvas(states, nothing, ~nothing, torch.zeros(len(states), dtype=torch.long)).to(model.device)
    time = torch.full((len(states),), t, device=model.device)
    return model.denoise(canvas.ids, time, canvas, canvas.free).double().softmax(-1).cpu().view(len(states), 2, -1)


def ancestral_law(model: DiffusionModel, steps: int) -> Tensor:
    """The law of what `steps` ancestral steps write at two positions, float64 [V, V], by going through all states.

    From noise of law pi, with alpha = 1 - t. In a step from t to s a position goes from z to j in proportion to
    q(z at t | j at s) (alpha_s x_0(j) + (1 - alpha_s) pi(j)), with the network's law for x_0.
    Source: MDLM, arXiv 2406.07524, equation 7; for uniform noise UDLM, arXiv 2412.10193.
    """
    size = model.vocabulary.size
    if isinstance(model.process, AbsorbingProcess):
        noise = one_hot(torch.tensor(MASK), size).double()
    else:
        noise = model.vocabulary.writable().double() / model.vocabulary.writable_count
    here = one_hot(all_states(size), size).double()
    law = torch.outer(noise, noise).flatten()
    for k in range(steps):
        alpha_t, alpha_s = k / steps, (k + 1) / steps
        kept = alpha_t / alpha_s
        back = kept * here + (1 - kept) * (here @ noise).unsqueeze(-1)
        moved = back * (alpha_s * network_law(model, 1 - alpha_t) + (1 - alpha_s) * noise)
        moved /= moved.sum(-1, keepdim=True).clamp(min=1e-300)  # states that are never reached have no way on
        law = torch.einsum("s,sa,sb->ab", law, moved[:, 0], moved[:, 1]).flatten()
    return law.view(size, size)


def confidence_law(model: DiffusionModel, steps: int) -> Tensor:
    """The law of what two steps write that settle the more probable of two proposals first, float64 [V, V].

    Those whose log-probabilities are the same to three decimals are equal, and the first place leads.

    steps: 2, one for each position. Source: LLaDA, arXiv 2502.09992.
    """
    assert steps == 2
    size = model.vocabulary.size
    p_x0 = network_law(model, 0.5).view(size, size, 2, size)
    first, second = p_x0[MASK, MASK]
    proposed = torch.outer(first, second)
    leads = first.log().round(decimals=3).unsqueeze(-1) >= second.log().round(decimals=3)
    settles_first, settles_second = (proposed * leads).sum(1), (proposed * ~leads).sum(0)
    return settles_first.unsqueeze(-1) * p_x0[:, MASK, 1] + settles_second * p_x0[MASK, :, 0].T


Sample = Callable[[int], Tensor]
"""Rows of ids [R, 2] from a seed."""


def require_law(sides: dict[str, Sample], law: Tensor) -> dict[str, float]:
    """The p-value of each sampler's rows on the small model; ends the script where one is below `ERROR_RATE`."""
    found = {name: p_value(sample(7), law) for name, sample in sides.items()}
    for name, value in found.items():
        if value < ERROR_RATE:
            raise SystemExit(f"what {name} draws does not follow the law that it should (p = {value:.1e})")
    return found
