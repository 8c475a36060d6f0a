"""What a classifier of texts says of each token that might stand at a place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from textdiff.text.canvas import Canvas

_ROWS = 256
"""Texts in a call of a classifier. It changes the speed, never a result."""


class Classifier(Protocol):
    """Who says how well texts, however noisy, fit what is wanted of them. Guidance leads towards it.

    With p(y | x_t) for noisy x_t as the data have it, and gamma = 1, what is written has the law of p(x_0 | y): one token at
    a time with masks, and with other noise as steps grow. Source: arXiv 2412.10193, section 3.2.
    """

    def __call__(self, x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        """log p(y | x_t with this id at this place), up to one number for each place.

        Args:
            x_t, t, canvas, where: as for a `Denoiser`.

        Returns:
            Float [N, V] for the N true positions of `where` in row-major order.
        """
        ...


LogP = Callable[[Tensor, Tensor, Canvas], Tensor]
"""(ids Long [B, L], times float [B], canvas of B rows) -> log p(y | ids), float [B]. Padding never influences it."""


def by_substitution(log_p: LogP, size: int) -> Classifier:
    """The classifier itself, asked about each of `size` ids at each place: N V texts a step, for small vocabularies."""

    def classify(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        row, column = where.nonzero(as_tuple=True)
        # N V texts exist only a few at a time.
        places = torch.arange(len(row) * size, device=x_t.device)
        found = [_replaced(log_p, x_t, t, canvas, row, column, size, part) for part in torch.split(places, _ROWS)]
        return torch.cat(found).view(-1, size) if found else t.new_empty(0, size)

    return classify


def _replaced(
    log_p: LogP, x_t: Tensor, t: Tensor, canvas: Canvas, row: Tensor, column: Tensor, size: int, part: Tensor
) -> Tensor:
    """log p of some of the texts, [n]: number k has the id k mod V at the place k div V."""
    place, token = part // size, part % size
    of = row[place]
    ids = x_t[of].scatter(1, column[place].unsqueeze(-1), token.unsqueeze(-1))
    return log_p(ids, t[of], canvas.rows(of))


def by_gradient(log_p: Callable[[Tensor, Canvas], Tensor], table: Tensor) -> Classifier:
    """The classifier to first order around x_t: one pass forward and one back a step, for any vocabulary.

    Args:
        log_p: (embeddings [B, L, D], canvas) -> log p(y | them), [B]; differentiable.
        table: float [V, D], the embeddings of ids.

    Source: arXiv 2412.10193, section 3.2, where the one-hot vector is what changes.
    """

    def classify(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        with torch.enable_grad():
            embedded = table.detach()[x_t].requires_grad_()
            (slope,) = torch.autograd.grad(log_p(embedded, canvas).sum(), embedded)
        return slope[where] @ table.detach().T

    return classify
