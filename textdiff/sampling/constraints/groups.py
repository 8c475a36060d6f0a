"""Groups of positions that share an automaton, side by side, and their laws."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from textdiff.draws import categorical
from textdiff.sampling.constraints.paths import Paths, log_sum_by
from textdiff.text.automaton import TokenAutomaton

_CHUNK = 1 << 18
"""How many weights are looked at at once: they stay near the processor, and little is widened to float64."""


class Groups(NamedTuple):
    """G groups of up to K places of one automaton with C classes, n of the places noisy.

    Attributes:
        automaton: the one they share.
        name: Long [G], their numbers in the batch.
        inside: Bool [G, K], the places that a group has; they come first.
        noisy: Bool [G, K], those that are drawn.
        fixed: Long [G, K], the class of what stands at the others.
        packed: Long [n], which of a step's N packed positions the noisy places are.
    """

    automaton: TokenAutomaton
    name: Tensor
    inside: Tensor
    noisy: Tensor
    fixed: Tensor
    packed: Tensor

    def are_all(self, count: int) -> bool:
        """Whether the noisy places are all packed positions, `count` of them, in their order."""
        return len(self.packed) == count and bool((self.packed.diff() > 0).all())

    def spread(self, values: Tensor, rest: float | int) -> Tensor:
        """values [n, ...] at the noisy places, [G, K, ...] with `rest` elsewhere."""
        everywhere = values.new_full((*self.noisy.shape, *values.shape[1:]), rest)
        return everywhere.index_put((self.noisy,), values)

    def paths(self, log_w: Tensor) -> Paths:
        """The paths for these weights of the classes, float64 [n, C], at the noisy places."""
        fixed = torch.nn.functional.one_hot(self.fixed, log_w.shape[-1]).to(torch.float64).log()
        return Paths(self.automaton, fixed.index_put((self.noisy,), log_w), self.inside)


class WeightedGroups(NamedTuple):
    """Groups with weights for the ids at their noisy places.

    Attributes:
        groups: of an automaton with C classes.
        ids: Long [M], rising: those that may stand somewhere, or all of them where that is no great difference.
        classes: Long [M], their classes.
        log_w: float [n, M].
        by_class: float64 [n, C], the log of the sum over the ids of each class.
        paths: with these weights.
    """

    groups: Groups
    ids: Tensor
    classes: Tensor
    log_w: Tensor
    by_class: Tensor
    paths: Paths

    @staticmethod
    def of(groups: Groups, log_w: Tensor) -> WeightedGroups:
        """log_w: float [N, V], of all packed positions."""
        classes, count = groups.automaton.classes, groups.automaton.table.shape[1]
        ids = (groups.automaton.table >= 0).any(0)[classes].nonzero().squeeze(-1)
        here = log_w if groups.are_all(len(log_w)) else log_w[groups.packed]
        if 2 * len(ids) < len(classes):
            here, classes = here.index_select(-1, ids), classes[ids]
        else:
            ids = torch.arange(len(classes), device=classes.device)
        chunks = torch.split(here, max(_CHUNK // max(len(ids), 1), 1))
        by_class = torch.cat([log_sum_by(chunk, classes, count) for chunk in chunks])
        return WeightedGroups(groups, ids, classes, here, by_class, groups.paths(by_class))

    def possible(self) -> Tensor:
        """Bool [n]."""
        return (self.paths.total > -torch.inf).unsqueeze(-1).expand(self.groups.noisy.shape)[self.groups.noisy]

    def stuck(self) -> Tensor:
        """Long [G]: the packed position at which the paths of a group end, or the noisy one next to it."""
        packed = self.groups.spread(self.groups.packed, -1)
        before = packed.cummax(-1).values.gather(-1, self.paths.ends().unsqueeze(-1)).squeeze(-1)
        return torch.where(before < 0, packed.amax(-1), before)

    def messages(self) -> Tensor:
        """Float [n, V]."""
        by_class = self.paths.messages()[self.groups.noisy].to(self.log_w.dtype)
        return by_class.index_select(-1, self.groups.automaton.classes)

    def draw(self, path: Tensor, token: Tensor) -> Tensor:
        """Long [n]: the classes of a path, then an id of each class; from uniforms float64 [N] twice."""
        drawn = self.paths.draw(self.groups.spread(path[self.groups.packed], 0.5))
        cls = drawn[self.groups.noisy].unsqueeze(-1)
        share = (self.log_w - self.by_class.gather(-1, cls).to(self.log_w.dtype)).exp_()
        share.masked_fill_(self.classes != cls, 0.0)
        return self.ids[categorical(share, token[self.groups.packed])]

    def best(self) -> Tensor:
        """Long [n]: the path of the greatest weight, each class standing for its best id, the lowest where several are."""
        classes, beyond = self.classes.expand(self.log_w.shape), len(self.groups.automaton.classes)
        none = torch.full_like(self.by_class, -torch.inf, dtype=self.log_w.dtype)
        most = none.scatter_reduce(-1, classes, self.log_w, "amax")
        ids = torch.where(self.log_w == most.gather(-1, classes), self.ids, beyond)
        lowest = torch.full_like(most, beyond, dtype=torch.long).scatter_reduce(-1, classes, ids, "amin")
        paths = self.groups.paths(most.to(torch.float64))
        return paths.best(self.groups.spread(lowest, beyond))[self.groups.noisy]
