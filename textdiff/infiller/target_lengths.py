"""How long a target gets, before any of it is written.

The probability of a filler at position k of a room that is all noise is the probability that the target has at most k
tokens: one network call gives the whole law of the length. With the length known, all further calls are for the text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.infiller.forward import noisy_log_p
from textdiff.infiller.writing import ROWS
from textdiff.model import DiffusionModel
from textdiff.text.canvas import Canvas

_STREAM = 0x7A26
_LEAST = 1e-5  # the network's single precision says nothing about differences of probabilities that are smaller


def length_laws(model: DiffusionModel, canvas: Canvas, filler: int) -> Tensor:
    """The law of the tokens of each row's target, float64 [B, R] for 1 … R of a room of R positions.

    Args:
        model: one that was trained on pairs.
        canvas: sources, with R free positions each.
        filler: the id that stands behind a target.
    """
    found = []
    for rows in torch.split(torch.arange(len(canvas.ids)), ROWS):
        part = canvas.rows(rows).to(model.device)
        ended = noisy_log_p(model, part, part.free)[:, filler].double().exp().view(len(rows), -1).cpu()
        # at position k the text has at most k tokens; behind the last one it has ended for certain; it has one at least
        after = torch.cat((torch.zeros(len(rows), 1), ended[:, 1:], torch.ones(len(rows), 1)), -1).cummax(-1).values
        found.append(after.diff().clamp(min=_LEAST))
    laws = torch.cat(found)
    return laws / laws.sum(-1, keepdim=True)


def lengths_of(laws: Tensor, n: int, temperature: float, seeds: list[int]) -> Tensor:
    """A length for each of n candidates of every source, Long [B * n].

    Args:
        laws: float64 [B, R].
        n: candidates of a source.
        temperature: 0 gives the candidates the n most probable lengths (a beam, from the start again if there are more
            candidates than lengths); else each draws its own from law^(1 / temperature).
        seeds: of the candidates.
    """
    many = laws.repeat_interleave(n, 0)
    if temperature <= 0:
        order = torch.sort(many, dim=-1, descending=True, stable=True).indices
        place = torch.arange(len(many)) % n % laws.shape[-1]
        return order.gather(-1, place.unsqueeze(-1)).squeeze(-1) + 1
    sharpened = (many.log() / temperature).softmax(-1)
    uniform = Draws.seeded(seeds).fold(_STREAM).uniform(1)
    return (sharpened.cumsum(-1) <= uniform).sum(-1).clamp(max=laws.shape[-1] - 1) + 1
