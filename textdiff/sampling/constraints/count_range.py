"""Groups of positions with a number of tokens of some kind within bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from textdiff.errors import DataError, UsageError
from textdiff.sampling.constraints.base import Constraint, require_shape
from textdiff.sampling.ranks import rank_within
from textdiff.sampling.step import Step, Stream
from textdiff.text.canvas import Canvas


class _Room(NamedTuple):
    """Long [B, G + 1]: how many more open positions of a group may take a token that counts, or one that does not."""

    counting: Tensor
    other: Tensor


@dataclass(frozen=True)
class CountRange(Constraint):
    """In each group low to high free positions end with a token that counts; exactly so, however many settle at once.

    A position is *open* if it may take tokens of both kinds. Among the noisy positions of a group some must count, some
    must not, the open ones may. Tokens are forbidden, and proposals that come together put off, so that the number that
    must count never exceeds `high` and the number that may never falls below `low`.

    Attributes:
        weight: Bool [C, V], the tokens that count, for each class of positions.
        which: Long [B, L], the class of each position.
        group: Long [B, L], the group of each position, 0 … G - 1; -1 for none.
        low: Long [B, G].
        high: Long [B, G].
        table: Bool [C, V] or None: the tokens that each class may take at all; this constraint enforces it too, so that
            `TokenClasses(table, which)` is not needed beside it. Needed wherever a class cannot take both kinds.
    """

    weight: Tensor
    which: Tensor
    group: Tensor
    low: Tensor
    high: Tensor
    table: Tensor | None = None

    def check(self, canvas: Canvas) -> None:
        groups = self.low.shape[-1]
        require_shape("which", self.which, canvas.shape)
        require_shape("group", self.group, canvas.shape)
        require_shape("low", self.low, (canvas.shape[0], groups))
        require_shape("high", self.high, (canvas.shape[0], groups))
        if self.group.numel() and not -1 <= int(self.group.min()) <= int(self.group.max()) < groups:
            raise UsageError(f"group of a constraint must be from -1 to {groups - 1}")
        can, cannot = self._kinds()
        if (canvas.free & ~can & ~cannot).any():
            row, column = (canvas.free & ~can & ~cannot).nonzero()[0].tolist()
            raise DataError(f"no token is allowed at position {column} of row {row}")
        most = self._sum(can & canvas.free)[:, :-1]
        least = self._sum(can & ~cannot & canvas.free)[:, :-1]
        wrong = (least > self.high) | (most < self.low) | (self.low > self.high)
        if wrong.any():
            row, g = wrong.nonzero()[0].tolist()
            asked = f"{int(self.low[row, g])} to {int(self.high[row, g])}"
            possible = f"{int(least[row, g])} to {int(most[row, g])}"
            raise DataError(f"group {g} of row {row} cannot have {asked} counting tokens: {possible} are possible")

    def allowed(self, step: Step) -> Tensor:
        counts = self.weight[step.pack(self.which)]
        room = self._room(step)
        closed = ~step.pack(self._open())
        may_count = closed | (self._at_position(step, room.counting) > 0)
        may_not = closed | (self._at_position(step, room.other) > 0)
        allowed = torch.where(counts, may_count.unsqueeze(-1), may_not.unsqueeze(-1))
        return allowed if self.table is None else allowed & self.table[step.pack(self.which)]

    def admit(self, step: Step, settle: Tensor) -> Tensor:
        counts = self.weight[step.pack(self.which), step.proposal]
        room = self._room(step)
        quota = torch.where(counts, self._at_position(step, room.counting), self._at_position(step, room.other))
        limited = settle & step.pack(self._open())
        # Who has to wait is drawn: an order by place or by probability would bend the law.
        ticket = step.pack(step.uniform(Stream.ADMIT)).masked_fill(~limited, 2.0)
        queue = (step.row * (self.low.shape[-1] + 1) + step.pack(self._slot())) * 2 + counts
        return settle & (~limited | (rank_within(queue, ticket) < quota))

    def rows(self, index: Tensor) -> CountRange:
        return replace(
            self, which=self.which[index], group=self.group[index], low=self.low[index], high=self.high[index]
        )

    def _kinds(self) -> tuple[Tensor, Tensor]:
        """Bool [B, L] twice: can take a token that counts; can take one that does not."""
        table = torch.ones_like(self.weight) if self.table is None else self.table
        return (self.weight & table).any(-1)[self.which], (~self.weight & table).any(-1)[self.which]

    def _open(self) -> Tensor:
        can, cannot = self._kinds()
        return can & cannot & (self.group >= 0)

    def _slot(self) -> Tensor:
        """The group of each position, with one more for those that have none."""
        return torch.where(self.group < 0, self.low.shape[-1], self.group)

    def _sum(self, flags: Tensor) -> Tensor:
        """Long [B, G + 1]: how many flags are set in each group."""
        zeros = self.low.new_zeros(len(self.low), self.low.shape[-1] + 1)
        return zeros.scatter_add(-1, self._slot(), flags.long())

    def _room(self, step: Step) -> _Room:
        can, cannot = self._kinds()
        counted = self.weight[self.which, step.x_t] & step.settled
        noisy = step.noisy | step.renoised
        least = self._sum(counted | (noisy & can & ~cannot))
        most = self._sum(counted | (noisy & can))
        low, high = (torch.nn.functional.pad(bound, (0, 1)) for bound in (self.low, self.high))
        return _Room(high - least, most - low)

    def _at_position(self, step: Step, values: Tensor) -> Tensor:
        """Values [B, G + 1] at the packed positions: [N]."""
        return values[step.row, step.pack(self._slot())]
