"""From canvases to samples: rows sorted by length, in batches, and put back in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.denoiser import Reader
from textdiff.infiller.reading_on import denoiser_for
from textdiff.model import DiffusionModel
from textdiff.sampling import Automata, Classifier, Constraint, Event, Sampler, TokenClasses
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas
from textdiff.text.layout import Layout
from textdiff.text.tokenizers import Tokenizer

ROWS = 32
"""Rows of a batch. It changes the speed, never a result."""


@dataclass(frozen=True)
class Progress:
    """A look at the canvas while it is written.

    Attributes:
        rows: Long [R], the rows of the canvas that this batch writes.
        event: what the sampler shows of them.
    """

    rows: Tensor
    event: Event


@dataclass(frozen=True)
class Written:
    """The finished canvas.

    Attributes:
        ids: Long [B, L].
        log_p: float64 [B, L]; see `Samples`.
        nfe: Long [B].
        steps: of the longest row.
    """

    ids: Tensor
    log_p: Tensor
    nfe: Tensor
    steps: int


def write(
    model: DiffusionModel,
    sampler: Sampler,
    canvas: Canvas,
    constraint: Constraint,
    on_progress: Callable[[Progress], None] | None = None,
    weak: Reader | None = None,
    denoiser: Callable[[DiffusionModel, Canvas], tuple[Reader, Canvas]] = denoiser_for,
    classifier: Classifier | None = None,
) -> Written:
    """Writes the free positions of a canvas under a constraint, on the model's device.

    Args:
        weak, classifier: what the sampler's guidance leads away from and towards; see `Sampler.sample`.
        denoiser: what writes on a batch of rows, and the batch as it is to be given to it.
    """
    ids, log_p = canvas.ids.clone(), torch.zeros(canvas.shape, dtype=torch.float64)
    nfe = torch.zeros(len(ids), dtype=torch.long)
    steps = 0
    lengths = canvas.valid.sum(-1)
    for rows in torch.split(lengths.argsort(stable=True), ROWS):
        length = int(lengths[rows].max()) if len(rows) else 0
        part, view = canvas.rows(rows).cut(length).to(model.device), constraint.rows(rows).cut(length).to(model.device)
        watch = None if on_progress is None else _watcher(on_progress, rows)
        denoise, part = denoiser(model, part)
        samples = sampler.sample(denoise, model.process, part, view, watch, weak, classifier=classifier)
        ids[rows, :length], log_p[rows, :length] = samples.ids.cpu(), samples.log_p.cpu()
        nfe[rows] = samples.nfe.cpu()
        steps = max(steps, samples.steps)
    return Written(ids, log_p, nfe, steps)


def gap_constraint(layout: Layout, automata: Sequence[Sequence[TokenAutomaton]]) -> Automata:
    """Every gap of a layout holds what its automaton allows; automata[draft][gap]."""
    numbers: dict[TokenAutomaton, int] = {}
    group = torch.full(layout.canvas.shape, -1, dtype=torch.long)
    which: list[list[int]] = [[] for _ in layout.rows]
    for slot in layout.slots:
        group[slot.text] = len(which[slot.row])
        which[slot.row].append(numbers.setdefault(automata[slot.draft][slot.gap], len(numbers)))
    groups = max((len(row) for row in which), default=1)
    padded = torch.tensor([row + [0] * (groups - len(row)) for row in which], dtype=torch.long)
    return Automata(tuple(numbers), group, padded.reshape(len(which), groups))


def text_constraint(canvas: Canvas, tokenizer: Tokenizer) -> TokenClasses:
    """Free positions hold a piece of text, no filler and no control code."""
    spelling = tokenizer.spelling
    text = torch.tensor([written is not None for written in spelling.texts(spelling.plain)])
    return TokenClasses(torch.stack([torch.ones_like(text), text]), canvas.free.long())


def _watcher(on_progress: Callable[[Progress], None], rows: Tensor) -> Callable[[Event], None]:
    return lambda event: on_progress(Progress(rows, event))
