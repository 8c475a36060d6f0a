"""What changes during a run, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from textdiff.draws import Draws
from textdiff.masks import known_empty
from textdiff.processes import ForwardProcess
from textdiff.sampling.past import Past
from textdiff.sampling.step import Step
from textdiff.sampling.transitions import Move
from textdiff.text.canvas import Canvas


@dataclass(frozen=True)
class State:
    """All rows of a run, each at its own time.

    Attributes:
        x_t: Long [B, L].
        noisy: Bool [B, L].
        log_p: float64 [B, L], of the token that settled last at each position; 0 where none has.
        t: float64 [B]; 0 for a row that has arrived.
        index: Long [B], steps taken.
        nfe: Long [B], network calls.
        guess, same: see `Step`; kept for a stop policy that looks.
        past: kept for an accept policy that compares, else None.
    """

    x_t: Tensor
    noisy: Tensor
    log_p: Tensor
    t: Tensor
    index: Tensor
    nfe: Tensor
    guess: Tensor
    same: Tensor
    past: Past | None

    @staticmethod
    def begin(process: ForwardProcess, canvas: Canvas, compares: int = 0) -> State:
        """Noise wherever something is to be written. compares: of the accept policy."""
        noise = process.sample_noise(canvas.ids, Draws.seeded(canvas.seeds))
        zeros = torch.zeros_like(canvas.seeds)
        return State(
            x_t=torch.where(canvas.free, noise, canvas.ids),
            noisy=canvas.free,
            log_p=torch.zeros(canvas.shape, dtype=torch.float64, device=canvas.ids.device),
            t=torch.ones_like(zeros, dtype=torch.float64),
            index=zeros,
            nfe=zeros,
            guess=torch.full_like(canvas.ids, -1),
            same=zeros,
            past=Past.none(canvas, compares, process.vocabulary.size) if compares else None,
        )

    def rows(self, index: Tensor) -> State:
        tensors = {name: value[index] for name, value in _tensors(self).items()}
        return State(**tensors, past=None if self.past is None else self.past.rows(index))

    def with_rows(self, index: Tensor, new: State) -> State:
        """This state with some of its rows (Long index, rising) replaced."""
        if len(index) == len(self.t):
            return new
        fresh = _tensors(new)
        tensors = {name: old.index_copy(0, index, fresh[name]) for name, old in _tensors(self).items()}
        past = None if self.past is None or new.past is None else self.past.with_rows(index, new.past)
        return State(**tensors, past=past)

    def after(self, step: Step, move: Move) -> State:
        """These rows after a step, which asked the network about all of them or about none."""
        at = (step.row, step.column)
        x_s, noisy = step.x_t.index_put(at, move.ids), step.noisy.index_put(at, ~move.settled)
        if not (move.renoised is None and known_empty(step.renoised)):
            renoised = step.renoised if move.renoised is None else step.renoised | move.renoised
            x_s, noisy = torch.where(renoised, step.noise, x_s), noisy | renoised
        written = step.log_p_of(move.ids) if move.log_p is None else move.log_p
        score = torch.where(move.settled, written, 0.0)
        return State(
            x_t=x_s,
            noisy=noisy,
            log_p=self.log_p.index_put(at, score),
            t=step.s,
            index=step.index + 1,
            nfe=self.nfe + 1 if len(step.row) else self.nfe,
            guess=step.guess,
            same=step.same,
            past=None if self.past is None else self.past.after(step, move),
        )

    def settled(self, ids: Tensor) -> State:
        """The same with some noisy positions settled, for certain: Long [B, L], -1 where nothing changes."""
        certain = ids >= 0
        return replace(
            self,
            x_t=torch.where(certain, ids, self.x_t),
            noisy=self.noisy & ~certain,
            log_p=torch.where(certain, 0.0, self.log_p),  # a token that went back to noise may have left its own
        )


def _tensors(state: State) -> dict[str, Tensor]:
    """What has one entry for each row."""
    return {name: value for name, value in vars(state).items() if name != "past"}
