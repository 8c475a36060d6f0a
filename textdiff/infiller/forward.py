"""First looks at empty gaps: one network call with all of their positions noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.infiller.writing import ROWS
from textdiff.model import DiffusionModel
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas
from textdiff.text.layout import Layout, Slot


@torch.no_grad()
def first_looks(model: DiffusionModel, layout: Layout, slots: Sequence[Slot]) -> Iterator[tuple[Slot, Tensor]]:
    """Each slot with log-probabilities [k, V] of the clean tokens at its text positions, while all free ones are noise.

    The slots come in no particular order, so that no more than a batch of them needs memory.
    """
    by_row: dict[int, list[Slot]] = {}
    for slot in sorted(slots, key=lambda s: s.start):
        by_row.setdefault(slot.row, []).append(slot)
    lengths = layout.canvas.valid.sum(-1).tolist()
    order = sorted(by_row, key=lambda row: (lengths[row], row))
    for first in range(0, len(order), ROWS):
        rows = order[first : first + ROWS]
        canvas = layout.canvas.rows(torch.tensor(rows)).cut(lengths[rows[-1]]).to(model.device)
        where = torch.zeros_like(canvas.frozen)
        for i, row in enumerate(rows):
            for slot in by_row[row]:
                where[i, slot.start : slot.stop] = True
        log_p = noisy_log_p(model, canvas, where).cpu()
        wanted = [slot for row in rows for slot in by_row[row]]
        sizes = [slot.stop - slot.start for slot in wanted]
        yield from zip(wanted, torch.split(log_p, sizes), strict=True)


@torch.no_grad()
def noisy_log_p(model: DiffusionModel, canvas: Canvas, where: Tensor) -> Tensor:
    """Log-probabilities [N, V] at the true positions of `where` Bool [B, L], while all free positions are noise."""
    noise = model.process.sample_noise(canvas.ids, Draws.seeded(canvas.seeds))
    x_t = torch.where(canvas.free, noise, canvas.ids)
    ones = torch.ones(len(x_t), dtype=torch.float64, device=x_t.device)
    return model.denoise(x_t, ones, canvas, where).log_softmax(-1)


def best_log_p(log_p: Tensor, automaton: TokenAutomaton) -> Tensor:
    """Log-probabilities [k] of the best token at each position among those that stand in any text of an automaton.

    Args:
        log_p: [k, V], of the tokens at the positions.
        automaton: what a text is.
    """
    writable = (automaton.table >= 0).any(0)[automaton.classes]
    return log_p.masked_fill(~writable, -torch.inf).log_softmax(-1).nan_to_num(nan=-torch.inf).amax(-1)


def log_mass(automaton: TokenAutomaton, log_p: Tensor, filler: int | None) -> Tensor:
    """For each k the log-probability that k tokens, drawn one by one, are a whole text.

    Args:
        automaton: what a text is.
        log_p: [R, V], of the tokens at the positions from the first.
        filler: the id that no text holds; what it gets is taken out.

    Returns:
        Float64 [R]; -inf where k tokens cannot be a whole text.
    """
    if filler is not None:
        log_p = log_p.index_fill(-1, torch.tensor(filler), -torch.inf).log_softmax(-1)
        log_p = log_p.nan_to_num(nan=-torch.inf)  # a filler for certain
    states, classes = automaton.table.shape
    weight = torch.zeros(len(log_p), classes, dtype=torch.float64)
    weight.index_add_(1, automaton.classes, log_p.double().exp())
    source, kind = (automaton.table >= 0).nonzero(as_tuple=True)
    target = automaton.table[source, kind]
    here = torch.zeros(states, dtype=torch.float64)
    here[0] = 1
    scale = torch.zeros((), dtype=torch.float64)
    masses = []
    for row in weight:
        here = torch.zeros_like(here).index_add(0, target, here[source] * row[kind])
        total = here.sum()
        if total > 0:
            here, scale = here / total, scale + total.log()
        masses.append(here[automaton.final].sum().log() + scale)
    return torch.stack(masses)
