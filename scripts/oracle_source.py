"""A source of texts whose every probability is known: what a perfectly trained network would say about it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.processes import InterpolatingProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary


@dataclass(frozen=True)
class Source:
    """A hidden Markov chain of S states that emits the writable ids of a vocabulary.

    start: float64 [S]; moves: [S, S], row: from; emits: [S, V], zero at ids that are not writable.
    """

    vocabulary: Vocabulary
    start: Tensor
    moves: Tensor
    emits: Tensor

    @staticmethod
    def random(symbols: int, states: int, seed: int = 0, sharpness: float = 4.0) -> Source:
        """Log-weights are independent normal of this standard deviation. Id 0 is the mask."""
        vocabulary = Vocabulary(size=symbols + 1, special_ids=(0,), mask_id=0)
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64)

        emits = draw(states, symbols + 1).masked_fill(~vocabulary.writable(), -torch.inf).softmax(-1)
        return Source(vocabulary, draw(states).softmax(-1), draw(states, states).softmax(-1), emits)

    def sample(self, rows: int, length: int, seed: int = 0) -> Tensor:
        """Long [rows, length]."""
        generator = torch.Generator().manual_seed(seed)
        state = torch.multinomial(self.start, rows, replacement=True, generator=generator)
        ids = []
        for _ in range(length):
            ids.append(torch.multinomial(self.emits[state], 1, generator=generator).squeeze(-1))
            state = torch.multinomial(self.moves[state], 1, generator=generator).squeeze(-1)
        return torch.stack(ids, -1)

    def log_p(self, ids: Tensor) -> Tensor:
        """Nats of each row of ids [B, L], float64 [B]."""
        total, belief = torch.zeros(len(ids), dtype=torch.float64), self.start.expand(len(ids), -1)
        for column in ids.unbind(-1):
            joint = belief * self.emits[:, column].T
            total = total + joint.sum(-1).log()
            belief = joint / joint.sum(-1, keepdim=True) @ self.moves
        return total

    def law(self, length: int) -> Tensor:
        """The probability of every text of this length, [K^length], in the order of `place`."""
        ids = self.vocabulary.writable().nonzero().squeeze(-1).tolist()
        return self.log_p(torch.tensor(list(itertools.product(ids, repeat=length)))).exp()

    def place(self, ids: Tensor) -> Tensor:
        """Where each row of writable ids [B, L] stands in `law`, Long [B]."""
        digit = self.vocabulary.writable().long().cumsum(0) - 1
        count = self.vocabulary.writable_count
        place = torch.zeros(len(ids), dtype=torch.long)
        for column in ids.unbind(-1):
            place = place * count + digit[column]
        return place

    def denoiser(self, process: InterpolatingProcess) -> Denoiser:
        """The exact leave-one-out denoiser by forward and backward messages. Nothing may be padded."""

        def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
            times = t.to(torch.float64).unsqueeze(-1).expand(x_t.shape)
            alpha = torch.where(canvas.frozen, 1.0, process.schedule.alpha(times)).unsqueeze(-1)
            noise = process.noise_weight(x_t.flatten(), times.flatten()).view(x_t.shape).unsqueeze(-1)
            evidence = alpha * self.emits.T[x_t] + torch.where(canvas.frozen.unsqueeze(-1), 0.0, noise)
            law = self._elsewhere(evidence)[where] @ self.emits
            return (law / law.sum(-1, keepdim=True)).log()

        return denoise

    def _elsewhere(self, evidence: Tensor) -> Tensor:
        """p(state at i | evidence at all other positions), not normalised: [B, L, S]."""
        rows, length, states = evidence.shape
        before = [self.start.expand(rows, states)]
        after = [torch.ones(rows, states, dtype=torch.float64)]
        for i in range(length - 1):
            ahead = (before[-1] * evidence[:, i]) @ self.moves
            before.append(ahead / ahead.sum(-1, keepdim=True))
            back = (after[-1] * evidence[:, length - 1 - i]) @ self.moves.T
            after.append(back / back.sum(-1, keepdim=True))
        return torch.stack(before, 1) * torch.stack(after[::-1], 1)
