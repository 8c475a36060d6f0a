"""Text at the start of a room, fillers behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.errors import DataError
from textdiff.sampling.constraints.base import Constraint, require_shape
from textdiff.sampling.step import Step
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class FillersLast(Constraint):
    """Where a filler has settled, all that is noisy behind it is filler, and costs no network call any more.

    So the first filler says where a text ends, in whatever order tokens settle; and no filler settles where text stands behind.
    Tokens that settle in the same step do not know of each other, so that a filler may come to stand between two of text:
    whoever reads the room leaves fillers out.

    Attributes:
        text: Bool [V], the tokens that a text may hold.
        filler: the id that is none.
        room: Bool [B, L], the positions of a room; one a row, all of them free.
    """

    text: Tensor
    filler: int
    room: Tensor

    def check(self, canvas: Canvas) -> None:
        require_shape("room", self.room, canvas.shape)
        if bool((self.room & ~canvas.free).any()):
            raise DataError("a room holds positions that are not free")

    def rows(self, index: Tensor) -> FillersLast:
        return replace(self, room=self.room[index])

    def cut(self, length: int) -> FillersLast:
        return replace(self, room=self.room[:, :length])

    def to(self, device: torch.device | str) -> FillersLast:
        return FillersLast(self.text.to(device), self.filler, self.room.to(device))

    def allowed(self, step: Step) -> Tensor:
        written = self.room & step.settled & (step.x_t != self.filler)
        before_text = written.flip(-1).cummax(-1).values.flip(-1)
        allowed = self.text.expand(len(step.row), -1).clone()
        allowed[:, self.filler] = ~step.pack(before_text)
        return allowed | ~step.pack(self.room).unsqueeze(-1)

    def certain(self, x_t: Tensor, noisy: Tensor) -> Tensor:
        ended = (self.room & ~noisy & (x_t == self.filler)).cummax(-1).values
        return torch.where(self.room & noisy & ended, self.filler, -1)
