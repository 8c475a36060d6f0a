"""What a policy may look at: one step of the batch, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.masks import all_true, is_full, mask_at, none_true
from textdiff.processes import ForwardProcess
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.joint import Joint


class Stream(IntEnum):
    """What a step's random numbers are for. Each use has its own independent stream.

    A joint draw takes two: the path of its classes, then the member of each class.
    """

    TIME = 1
    ACCEPT = 2
    TOKEN = 3
    RENOISE = 4
    NOISE = 5
    PATH = 6
    MEMBER = 7


@dataclass(frozen=True)
class Step:
    """One step of B rows from time t to s, filled in as the step goes on.

    Policies read it and return tensors; nobody changes it. Packed fields have one entry for each of the N positions
    whose logits were asked for, in row-major order; they are empty until the network has run.

    Attributes:
        process: the process whose noise is taken away.
        draws: B rows; a stream of this row's seed and this step.
        index: Long [B], how many steps each row has taken.
        steps: how many the sampler was told to take.
        x_t: Long [B, L].
        noisy: Bool [B, L], free positions that still carry noise.
        free: Bool [B, L], positions that are to be written.
        valid: Bool [B, L], all that are not padding.
        t: float64 [B].
        s: float64 [B], at most t (equal to it until the grid has spoken, and where the grid lets time stand still).
        sure: float64 [B, L], log p(x_0 | x_t) of each settled token when it settled.
        sigma: float64 [B, L], the probability with which a settled position goes back to noise in this step; where noise
            stands, the one that its own settling makes up for.
        renoised: Bool [B, L], the settled positions that do, and noise that turns into other noise. They cannot settle now.
        noise: Long [B, L], what positions that go back to noise turn into.
        row: Long [N], the row of each packed position.
        column: Long [N], its place in the row.
        wanted: Bool [N], those that a policy asked for; the others are there because the constraint ties them to these, or
            for the stop policy.
        log_alone: float [N, V], log-probabilities of the leave-one-out denoiser among the tokens that the position may
            take, whatever stands elsewhere. Warps act on these.
        log_p_x0: float [N, V], the same given that all positions satisfy the constraint, before any warp; the same
            tensor where positions are independent.
        log_p: float [N, V], log p(x_0 | x_t) that follows; the same tensor for absorbing noise.
        joint: the law of all packed tokens together, before any warp; None where they are independent.
        proposal: Long [N], the tokens that would be written.
        drift: float64 [N, H], for an accept policy that compares H answers: how far p(x_0 | x_t) has moved from the answer
            before, KL(now || before) in nats, and how far that one had moved, …; inf where there was none before.
        guess: Long [B, L], for a stop policy that looks: what stands, and the most probable tokens at noisy positions. Before
            the network has run those of its last answer, -1 before the first.
        same: Long [B], how many answers in a row, up to this one, left the guess as it was.
        judged: for a transition that judges, the same step packed at the settled positions of the rows that it asks about, with
            what the network says and would propose there, whatever positions have to do with each other; else None.
        guidance: how the two sides are combined, where there are two.
        sides: `log_alone` of the strong and of the weak side, before any classifier; None where nobody needs them apart.
        tilt: float [N, V], what a classifier adds to log-probabilities; None where there is none.
        checked: whether an answer that leaves no token is an error at once; else log_p is NaN there, for the end of the run.
    """

    process: ForwardProcess
    draws: Draws
    index: Tensor
    steps: int
    x_t: Tensor
    noisy: Tensor
    free: Tensor
    valid: Tensor
    t: Tensor
    s: Tensor
    sure: Tensor
    sigma: Tensor
    renoised: Tensor
    noise: Tensor
    row: Tensor
    column: Tensor
    wanted: Tensor
    log_alone: Tensor
    log_p_x0: Tensor
    log_p: Tensor
    joint: Joint | None
    proposal: Tensor
    drift: Tensor
    guess: Tensor
    same: Tensor
    judged: Step | None = None
    guidance: Guidance = field(default_factory=Guidance)
    sides: tuple[Tensor, ...] | None = None
    tilt: Tensor | None = None
    checked: bool = True

    @property
    def alpha_t(self) -> Tensor:
        """Float64 [B]."""
        return self.process.schedule.alpha(self.t)

    @property
    def alpha_s(self) -> Tensor:
        """Float64 [B]."""
        return self.process.schedule.alpha(self.s)

    @property
    def settled(self) -> Tensor:
        """Bool [B, L]: free positions whose token stands and stays."""
        return self.free & ~self.noisy & ~self.renoised

    @property
    def stands(self) -> Tensor:
        """Bool [B, L]: tokens that are read, given ones and those that have lost their noise."""
        return self.valid & ~self.noisy

    @property
    def last(self) -> Tensor:
        """Bool [N]: packed positions of rows that reach the data in this step."""
        return (self.s == 0)[self.row]

    @property
    def confidence(self) -> Tensor:
        """Float [N]: log p(x_0 | x_t) of the proposed tokens."""
        return self.log_p.gather(-1, self.proposal.unsqueeze(-1)).squeeze(-1)

    def log_p_of(self, ids: Tensor) -> Tensor:
        """Float64 [N]: log p(x_0 | x_t) of these ids, Long [N]."""
        return self.log_p.gather(-1, ids.unsqueeze(-1)).squeeze(-1).to(torch.float64)

    def tilted(self, log_p: Tensor) -> Tensor:
        """Laws [N, V] of what stands at the packed positions, as a classifier bends them."""
        return log_p if self.tilt is None else (log_p + self.tilt).log_softmax(-1)

    def pack(self, values: Tensor) -> Tensor:
        """Values [B, L, ...] at the packed positions: [N, ...]."""
        return values[self.row, self.column]

    def uniform(self, stream: Stream) -> Tensor:
        """Float64 [B, L], uniform on (0, 1)."""
        return self.draws.fold(stream).uniform(self.x_t.shape[-1])

    def drawn(self, stream: Stream) -> Tensor:
        """Float64 [N]: those of the packed positions."""
        return self.draws.fold(stream).uniform_at(self.row, self.column, self.x_t.shape[-1])

    def planned(self, wanted: Tensor, where: Tensor) -> Step:
        """The same step with the positions that a policy asks for, part of those that the network is; Bool [B, L]."""
        row, column = where.nonzero(as_tuple=True)
        step = self.at(row, column)
        return step if wanted is where else replace(step, wanted=wanted[row, column])

    def at(self, row: Tensor, column: Tensor) -> Step:
        """The same step with these positions planned, Long [N] each and in row-major order, all for a policy."""
        return replace(self, row=row, column=column, wanted=all_true(row), drift=self.t.new_empty(len(row), 0))

    def packed(self) -> Tensor:
        """Bool [B, L]: the packed positions."""
        return mask_at(self.row, self.column, (self.noisy.shape[0], self.noisy.shape[1]))

    def guessed(self) -> Step:
        """The same step, whose network has run on all that is noisy, with its own guess."""
        guess = self.x_t.index_put((self.row, self.column), self.log_p.argmax(-1))
        return replace(self, guess=guess, same=torch.where((guess == self.guess).all(-1), self.same + 1, 0))

    def ending(self, rows: Tensor) -> Step:
        """The same step as the last one of some rows (Bool [B]): it ends at 0, and nothing goes back to noise."""
        return replace(self, s=torch.where(rows, 0.0, self.s), renoised=self.renoised & ~rows.unsqueeze(-1))

    def for_policy(self) -> Step:
        """The same step as a policy sees it: with what it asked for and nothing else, its distributions and proposals."""
        if is_full(self.wanted):
            return self
        packed = {name: getattr(self, name)[self.wanted] for name in _PER_POSITION}
        return replace(self, joint=None, sides=None, tilt=None, **packed)

    def spread(self, chosen: Tensor) -> Tensor:
        """Bool [N]: what a policy says of what it asked for, and false at the other packed positions."""
        return chosen if is_full(self.wanted) else self.wanted.masked_scatter(self.wanted, chosen)

    def rows(self, index: Tensor) -> Step:
        """Some of the rows (Bool index [B]), with nothing packed."""
        chosen = {name: getattr(self, name)[index] for name in _PER_ROW}
        packed = {name: getattr(self, name)[:0] for name in _PER_POSITION}
        return replace(
            self, draws=self.draws.rows(index), joint=None, sides=None, tilt=None, judged=None, **chosen, **packed
        )


_PER_POSITION = ("row", "column", "wanted", "log_alone", "log_p_x0", "log_p", "proposal", "drift")
_PER_ROW = ("index", "x_t", "noisy", "free", "valid", "t", "s", "sure", "sigma", "renoised", "noise", "guess", "same")


def begin_step(
    process: ForwardProcess,
    draws: Draws,
    index: Tensor,
    steps: int,
    x_t: Tensor,
    noisy: Tensor,
    free: Tensor,
    valid: Tensor,
    t: Tensor,
    sure: Tensor,
) -> Step:
    """A step of which only the beginning is known."""
    none = index.new_empty(0)
    empty = t.new_empty(0, process.vocabulary.size)
    return Step(
        process=process,
        draws=draws,
        index=index,
        steps=steps,
        x_t=x_t,
        noisy=noisy,
        free=free,
        valid=valid,
        t=t,
        s=t,
        sure=sure,
        sigma=torch.zeros_like(sure),
        renoised=none_true(noisy),
        noise=x_t,
        row=none,
        column=none,
        wanted=none.bool(),
        log_alone=empty,
        log_p_x0=empty,
        log_p=empty,
        joint=None,
        proposal=none,
        drift=t.new_empty(0, 0),
        guess=torch.full_like(x_t, -1),
        same=torch.zeros_like(index),
    )
