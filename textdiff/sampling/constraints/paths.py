"""Weighted paths through an automaton: sums over all of them, draws, and the best one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from textdiff.draws import categorical
from textdiff.text.automaton import TokenAutomaton


def log_sum_by(values: Tensor, index: Tensor, size: int) -> Tensor:
    """log of the sum of exp(values [N, M]) over the entries of each index, Long [M]: float64 [N, size], -inf for none.

    Relative to the greatest value of each index, so that none is lost however small all of them are.
    """
    where = index.expand(values.shape)
    most = values.new_full((len(values), size), -torch.inf).scatter_reduce(-1, where, values, "amax")
    most = most.masked_fill(most.isneginf(), 0.0)
    parts = (values - most.gather(-1, where)).exp().to(torch.float64)
    return parts.new_zeros(most.shape).scatter_add(-1, where, parts).log() + most


@dataclass(frozen=True)
class Paths:
    """The paths of G groups of up to K places through one automaton, from its start to a final state.

    A path's weight is the product of the weights of its classes. Everything is in logarithms, float64.

    Attributes:
        automaton: with S states and C classes.
        log_w: float64 [G, K, C].
        inside: Bool [G, K], the places that a group has; they come first.

    Source: Rabiner 1989, "A tutorial on hidden Markov models", sections III A to C; here states follow from classes.
    """

    automaton: TokenAutomaton
    log_w: Tensor
    inside: Tensor

    @cached_property
    def total(self) -> Tensor:
        """Float64 [G]: the weight of all paths; -inf where there is none."""
        return self._after[0][:, 0]

    def messages(self) -> Tensor:
        """Float64 [G, K, C]: the weight of all paths with a class at a place, without that class's own weight there.

        Relative to the total. It has no meaning at places that are not inside.
        """
        return torch.stack(
            [
                (before.unsqueeze(-1) + self._next(after)).logsumexp(1) - self.total.unsqueeze(-1)
                for before, after in zip(self._before[:-1], self._after[1:], strict=True)
            ],
            1,
        )

    def ends(self) -> Tensor:
        """Long [G]: the place where the last path breaks off; the last place where all reach it but not a final state."""
        alive = torch.stack([(before > -torch.inf).any(-1) for before in self._before], 1)
        return torch.minimum(alive.sum(-1), self.inside.sum(-1)) - 1

    def draw(self, uniform: Tensor) -> Tensor:
        """The classes of one path of each group, Long [G, K], drawn by weight. uniform: float64 [G, K]."""
        state, classes = self.inside.new_zeros(len(self.log_w), dtype=torch.long), []
        for j, after in enumerate(self._after[1:]):
            onward = self._onward(state, after, j)
            weights = (onward - onward.amax(-1, keepdim=True)).exp()
            classes.append(categorical(weights, uniform[:, j]))
            state = self._moved(state, classes[-1], j)
        return torch.stack(classes, 1)

    def best(self, lowest: Tensor) -> Tensor:
        """The ids of the path of greatest weight, Long [G, K]; of several the lowest ids, the first place deciding first.

        lowest: Long [G, K, C], the lowest of the ids that give a class its weight.
        """
        state, ids = self.inside.new_zeros(len(self.log_w), dtype=torch.long), []
        for j, after in enumerate(self._backward(greatest=True)[1:]):
            onward = self._onward(state, after, j)
            tied = onward == onward.amax(-1, keepdim=True)
            candidates = lowest[:, j].masked_fill(~tied, torch.iinfo(torch.long).max)
            chosen, which = candidates.min(-1)
            ids.append(chosen)
            state = self._moved(state, which, j)
        return torch.stack(ids, 1)

    @cached_property
    def _after(self) -> list[Tensor]:
        return self._backward(greatest=False)

    def _backward(self, greatest: bool) -> list[Tensor]:
        """K + 1 of float64 [G, S]: from each state before a place, the weight of all that can follow, or of the best."""
        final = torch.where(self.automaton.final, 0.0, -torch.inf).to(torch.float64)
        after = [final.expand(len(self.log_w), -1)]
        for j in reversed(range(self.log_w.shape[1])):
            onward = self._next(after[-1]) + self.log_w[:, j].unsqueeze(1)
            value = onward.amax(-1) if greatest else onward.logsumexp(-1)
            after.append(torch.where(self.inside[:, j, None], value, after[-1]))
        return after[::-1]

    @cached_property
    def _before(self) -> list[Tensor]:
        """K + 1 of float64 [G, S]: the weight of all ways to be in a state before a place."""
        table = self.automaton.table
        source, cls = (table >= 0).nonzero(as_tuple=True)
        state = torch.arange(len(table), device=table.device)
        before = [torch.where(state == 0, 0.0, -torch.inf).to(torch.float64).expand(len(self.log_w), -1)]
        for j in range(self.log_w.shape[1]):
            arcs = before[-1][:, source] + self.log_w[:, j, cls]
            value = log_sum_by(arcs, table[source, cls], len(table))
            before.append(torch.where(self.inside[:, j, None], value, before[-1]))
        return before

    def _next(self, after: Tensor) -> Tensor:
        """[G, S] at the state that each class leads to: [G, S, C], -inf where it may not stand."""
        onward = torch.nn.functional.pad(after, (1, 0), value=-torch.inf)
        return onward.index_select(-1, self.automaton.table.flatten() + 1).view(-1, *self.automaton.table.shape)

    def _onward(self, state: Tensor, after: Tensor, j: int) -> Tensor:
        """Float64 [G, C]: the weight of each class at place j and of what follows; all alike where nothing stands."""
        onward = torch.nn.functional.pad(after, (1, 0), value=-torch.inf)
        value = onward.gather(-1, self.automaton.table[state] + 1) + self.log_w[:, j]
        return torch.where(self.inside[:, j, None], value, 0.0)

    def _moved(self, state: Tensor, cls: Tensor, j: int) -> Tensor:
        return torch.where(self.inside[:, j], self.automaton.table[state, cls], state)
