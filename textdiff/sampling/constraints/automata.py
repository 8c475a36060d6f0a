"""Groups of positions whose tokens an automaton accepts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from textdiff.draws import categorical
from textdiff.errors import DataError, UsageError
from textdiff.sampling.constraints.base import Constraint, require_range, require_shape
from textdiff.sampling.constraints.groups import Groups, WeightedGroups
from textdiff.sampling.joint import Joint
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.step import Step
from textdiff.text.automaton import TokenAutomaton
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class Automata(Constraint):
    """The tokens of each group, from left to right, lead its automaton from the start to a final state.

    In each step x_0 is drawn from p(x_0 | x_t) given the constraint, all that is noisy in a group at once: in
    proportion to constraint(x_0) Π_i p_i(x_0^i) q(x_t^i | x_0^i), with p_i the leave-one-out denoiser. What is not
    noisy at t stands as it is, also where it goes back to noise until s: the law of a sampler is
    p(x_s | x_t) = Σ q(x_s | x_t, x_0) p(x_0 | x_t), whose x_0 has those tokens. Every x_0 that is drawn satisfies the
    constraint; so whatever part of it settles can be completed, and nothing has to wait or to be taken back.

    Attributes:
        automata: of one vocabulary.
        group: Long [B, L], the group of each position, 0 … G - 1; -1 for none. Given positions may be in one.
        which: Long [B, G], the automaton of each group; of no matter for a group without positions.
    """

    automata: tuple[TokenAutomaton, ...]
    group: Tensor
    which: Tensor

    def check(self, canvas: Canvas) -> None:
        groups = self.which.shape[-1]
        require_shape("group", self.group, canvas.shape)
        require_shape("which", self.which, (canvas.shape[0], groups))
        require_range("group", self.group, -1, groups)
        rows, columns = (self.group >= 0).nonzero(as_tuple=True)
        require_range("which", self.which[rows, self.group[rows, columns]], 0, len(self.automata))
        if (self.group[~canvas.valid] >= 0).any():
            raise UsageError("group of a constraint must be -1 at padding")
        for row, group in self.impossible(canvas):
            size = int((self.group[row] == group).sum())
            raise DataError(f"group {group} of row {row} cannot be written: nothing of {size} tokens is allowed there")

    def impossible(self, canvas: Canvas) -> list[tuple[int, int]]:
        """The groups that nothing satisfies together with what is given: the row and the number of each."""
        found = list[int]()
        for groups in self._groups(canvas.free, canvas.ids, self.group >= 0):
            used = torch.bincount(groups.automaton.classes, minlength=groups.automaton.table.shape[1]) > 0
            anything = torch.where(used, 0.0, -torch.inf).to(torch.float64)
            total = groups.paths(anything.expand(int(groups.noisy.sum()), -1)).total
            found += groups.name[total.isneginf()].tolist()
        return [divmod(name, self.which.shape[-1]) for name in sorted(found)]

    def rows(self, index: Tensor) -> Automata:
        return replace(self, group=self.group[index], which=self.which[index])

    def cut(self, length: int) -> Automata:
        return replace(self, group=self.group[:, :length])

    def to(self, device: torch.device | str) -> Automata:
        automata = tuple(
            replace(a, classes=a.classes.to(device), table=a.table.to(device), final=a.final.to(device))
            for a in self.automata
        )
        return Automata(automata, self.group.to(device), self.which.to(device))

    def plan(self, step: Step, where: Tensor) -> Tensor:
        return where | (step.noisy & self._touched(where))

    def joint(self, step: Step, log_w: Tensor) -> Joint:
        packed = step.packed()
        return AutomataJoint(tuple(self._groups(packed, step.x_t, packed)), log_w)

    def _touched(self, where: Tensor) -> Tensor:
        """Bool [B, L]: the positions of all groups that have one in `where`."""
        slot = self.group + 1
        count = self.which.new_zeros(len(where), self.which.shape[-1] + 1).scatter_add(-1, slot, where.long())
        return (count.gather(-1, slot) > 0) & (self.group >= 0)

    def _groups(self, noisy: Tensor, ids: Tensor, where: Tensor) -> list[Groups]:
        """The groups that have a position in `where` Bool [B, L], by their automata; packed are the noisy positions."""
        first = torch.arange(len(self.group), device=self.group.device).unsqueeze(-1) * self.which.shape[-1]
        position = self._touched(where).flatten().nonzero().squeeze(-1)
        name, slot = torch.unique((first + self.group).flatten()[position], return_inverse=True)
        rank = rank_within(slot, position)
        place = position.new_full((len(name), int(rank.max()) + 1 if len(rank) else 0), -1)
        place = place.index_put((slot, rank), position)
        which = self.which.flatten()[name]
        packed = noisy.flatten().cumsum(0) - 1
        found = []
        for number in torch.unique(which).tolist():
            automaton, names, places = self.automata[number], name[which == number], place[which == number]
            places = places[:, (places >= 0).any(0)]
            drawn = noisy.flatten()[places] & (places >= 0)
            fixed = automaton.classes[ids.flatten()[places]]
            found.append(Groups(automaton, names, places >= 0, drawn, fixed, packed[places[drawn]]))
        return found


@dataclass(frozen=True)
class AutomataJoint(Joint):
    """What the groups of a step make of weights. Positions that are in none are independent.

    Attributes:
        groups: by their automata.
        log_w: float [N, V].
    """

    groups: tuple[Groups, ...]
    log_w: Tensor

    @cached_property
    def _parts(self) -> list[WeightedGroups]:
        return [WeightedGroups.of(groups, self.log_w) for groups in self.groups]

    def weighted(self, log_w: Tensor) -> Joint:
        return replace(self, log_w=log_w)

    def possible(self) -> Tensor:
        possible = self.log_w.amax(-1) > -torch.inf
        for part in self._parts:
            possible = possible.index_copy(0, part.groups.packed, part.possible())
        return possible

    def stuck(self) -> Tensor:
        alone = self._alone()
        stuck = [alone[~(self.log_w[alone].amax(-1) > -torch.inf)]]
        stuck += [part.stuck()[~(part.paths.total > -torch.inf)] for part in self._parts]
        return torch.cat(stuck).amin()

    def messages(self) -> Tensor:
        if len(self._parts) == 1 and self._parts[0].groups.are_all(len(self.log_w)):
            return self._parts[0].messages()
        messages = torch.zeros_like(self.log_w)
        for part in self._parts:
            messages.index_copy_(0, part.groups.packed, part.messages())
        return messages

    def draw(self, path: Tensor, token: Tensor) -> Tensor:
        alone = self._alone()
        ids = torch.zeros_like(token, dtype=torch.long)
        share = (self.log_w[alone] - self.log_w[alone].amax(-1, keepdim=True)).exp()
        ids = ids.index_copy(0, alone, categorical(share, token[alone]))
        for part in self._parts:
            ids = ids.index_copy(0, part.groups.packed, part.draw(path, token))
        return ids

    def best(self) -> Tensor:
        alone = self._alone()
        ids = self.log_w.new_zeros(len(self.log_w), dtype=torch.long)
        ids = ids.index_copy(0, alone, self.log_w[alone].argmax(-1))
        for part in self._parts:
            ids = ids.index_copy(0, part.groups.packed, part.best())
        return ids

    def _alone(self) -> Tensor:
        """Long: the packed positions that are in no group."""
        alone = torch.ones(len(self.log_w), dtype=torch.bool, device=self.log_w.device)
        for groups in self.groups:
            alone = alone.index_fill(0, groups.packed, False)
        return alone.nonzero().squeeze(-1)
