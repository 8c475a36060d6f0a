"""What the network said before, for policies that compare it with what it says now."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.sampling.step import Step
from textdiff.sampling.transitions import Move
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Past:
    """Of B rows the last answer, and how far it and those before it had moved.

    Distributions exist only for positions that are still noisy, one a position: M rows of V numbers, never [B, L, V].

    Attributes:
        row: Long [M], the row of each such position.
        column: Long [M], its place in the row.
        log_p: float [M, V], log p(x_0 | x_t) there when the network was last asked.
        drift: float64 [B, L, H], see `Step.drift`.
    """

    row: Tensor
    column: Tensor
    log_p: Tensor
    drift: Tensor

    @staticmethod
    def none(canvas: Canvas, answers: int, size: int) -> Past:
        """Of rows that were never asked about, for a policy that compares so many answers, H, over `size` ids."""
        nothing = canvas.seeds.new_empty(0)
        drift = torch.full((*canvas.shape, answers), torch.inf, dtype=torch.float64, device=canvas.ids.device)
        return Past(nothing, nothing, drift.new_empty(0, size), drift)

    def rows(self, index: Tensor) -> Past:
        """Some of the rows (Long index)."""
        place = self.row.new_full((len(self.drift),), -1).index_copy(0, index, torch.arange(len(index)).to(index))
        row = place[self.row]
        kept = row >= 0
        return Past(row[kept], self.column[kept], self.log_p[kept], self.drift[index])

    def with_rows(self, index: Tensor, new: Past) -> Past:
        """The same with some of its rows (Long index) replaced."""
        others = ~torch.isin(self.row, index)
        return Past(
            torch.cat([self.row[others], index[new.row]]),
            torch.cat([self.column[others], new.column]),
            torch.cat([self.log_p[others].to(new.log_p.dtype), new.log_p]),
            self.drift.index_copy(0, index, new.drift),
        )

    def drift_to(self, step: Step) -> Tensor:
        """`drift` of a step whose network has run, float64 [N, H]."""
        former = step.pack(self.drift)
        place = torch.full_like(step.x_t, -1)
        place[self.row, self.column] = torch.arange(len(self.row), device=place.device)
        found = step.pack(place)
        known = found >= 0
        now = torch.full_like(former[:, 0], torch.inf)
        now[known] = _divergence(step.log_p[known], self.log_p[found[known]])
        return torch.cat([now.unsqueeze(-1), former[:, :-1]], -1)

    def after(self, step: Step, move: Move) -> Past:
        """The past of these rows after a step: the same where the network was not asked."""
        if not len(step.row):
            return self
        noisy = ~move.settled
        drift = self.drift.index_put((step.row, step.column), step.drift)
        return Past(step.row[noisy], step.column[noisy], step.log_p[noisy], drift)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats, float64 [N], of log-probabilities [N, V]. Rounding errors make nothing negative of it."""
    terms = torch.where(log_p.isneginf(), 0.0, log_p.exp() * (log_p - log_q))
    # Where q is 0 and p rounds to 0 there is 0 times infinity.
    return terms.sum(-1, dtype=torch.float64).nan_to_num(nan=torch.inf, posinf=torch.inf).clamp(min=0)
