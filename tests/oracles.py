"""Languages whose every probability is known, for tests of everything that stands on a denoiser.

`ToyLanguage` enumerates all sequences of a few writable ids; `HiddenMarkov` does longer ones by forward-backward. Both
give the exact leave-one-out denoiser of any process. Nothing here uses the closed forms that it is there to test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.processes import ForwardProcess, InterpolatingProcess, MatrixProcess
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=6, special_ids=(0,), mask_id=1, pad_id=0)
"""Padding 0, mask 1 and four writable ids 2 to 5."""


def canvas_of(ids: Tensor, frozen: Tensor | None = None, seed: int = 0) -> Canvas:
    """A canvas without padding; everything is free unless said otherwise. Row i has the seed `seed` + i."""
    given = torch.zeros_like(ids, dtype=torch.bool) if frozen is None else frozen
    return Canvas(ids, given, torch.ones_like(given), torch.arange(len(ids)) + seed)


def transitions(process: ForwardProcess, s: float, t: float) -> Tensor:
    """q(x_t = z | x_s = j) of a process, [V, V], row j: from its definition only (alpha and nu, or the matrices)."""
    size = process.vocabulary.size
    if isinstance(process, MatrixProcess):
        first, last = round(s * process.steps), round(t * process.steps)
        product = torch.eye(size, dtype=torch.float64)
        for matrix in process.matrices()[first:last]:
            product = product @ matrix
        return product
    assert isinstance(process, InterpolatingProcess)
    times = torch.tensor([s, t], dtype=torch.float64)
    alpha, nu = process.schedule.alpha(times), process.nu(times)
    kept, b = alpha[1] / alpha[0], (1 - alpha).unsqueeze(-1) * nu
    return kept * torch.eye(size, dtype=torch.float64) + (b[1] - kept * b[0])


@dataclass(frozen=True)
class ToyLanguage:
    """All sequences of a length over the writable ids, with their probabilities.

    sequences: Long [M, L]; probabilities: float64 [M].
    """

    vocabulary: Vocabulary
    sequences: Tensor
    probabilities: Tensor

    @staticmethod
    def random(
        length: int = 2, seed: int = 0, vocabulary: Vocabulary = VOCABULARY, sharpness: float = 1.5
    ) -> ToyLanguage:
        """Independent normal log-weights of this standard deviation."""
        ids = vocabulary.writable().nonzero().squeeze(-1).tolist()
        sequences = torch.tensor(list(itertools.product(ids, repeat=length)))
        weights = torch.randn(len(sequences), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return ToyLanguage(vocabulary, sequences, (sharpness * weights).softmax(0))

    def entropy(self) -> float:
        """Nats per sequence."""
        return -float(torch.special.xlogy(self.probabilities, self.probabilities).sum())

    def sample(self, rows: int, seed: int = 0) -> Tensor:
        """Long [rows, L]."""
        generator = torch.Generator().manual_seed(seed)
        return self.sequences[torch.multinomial(self.probabilities, rows, replacement=True, generator=generator)]

    def index(self, ids: Tensor) -> Tensor:
        """Which sequence each row [B, L] is; -1 where it is none (a special id in it). Long [B]."""
        same = (ids[:, None, :] == self.sequences).all(-1)
        return torch.where(same.any(-1), same.long().argmax(-1), -1)

    def conditioned(self, ids: Tensor, frozen: Tensor) -> Tensor:
        """The probabilities [M] given the frozen ids of one row [L]."""
        fits = ((self.sequences == ids) | ~frozen).all(-1)
        weights = self.probabilities * fits
        return weights / weights.sum()

    def noisy(self, process: ForwardProcess, t: float, states: Tensor) -> Tensor:
        """q(x_t | x_0) of noisy states [R, L] for every sequence, [M, R]."""
        return transitions(process, 0.0, t)[self.sequences[:, None, :], states[None]].prod(-1)

    def denoiser(self, process: ForwardProcess, *, leave_one_out: bool = True) -> Denoiser:
        """The exact denoiser: p(x_0 at i | x_t without i), or p(x_0 at i | x_t) when `leave_one_out` is False.

        At free positions it reads x_t as noisy, at frozen ones as given; padding is ignored.
        """

        def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
            likelihood = torch.ones(len(x_t), len(self.sequences), x_t.shape[1], dtype=torch.float64)
            times = t.expand(len(x_t)).tolist()
            laws = {time: transitions(process, 0.0, time) for time in set(times)}
            for row, time in enumerate(times):
                noisy = laws[time][self.sequences, x_t[row]]
                given = (self.sequences == x_t[row]).to(torch.float64)
                likelihood[row] = torch.where(canvas.free[row], noisy, given)
            likelihood = torch.where(canvas.valid.unsqueeze(1), likelihood, 1.0)
            return _packed(where, lambda row, i: self._position(likelihood[row], i, leave_one_out))

        return denoise

    def _position(self, likelihood: Tensor, i: int, leave_one_out: bool) -> Tensor:
        kept = torch.ones(likelihood.shape[1], dtype=torch.bool)
        kept[i] = not leave_one_out
        weights = self.probabilities * likelihood[:, kept].prod(-1)
        law = torch.zeros(self.vocabulary.size, dtype=torch.float64)
        return law.index_add(0, self.sequences[:, i], weights).log().log_softmax(0)


@dataclass(frozen=True)
class HiddenMarkov:
    """A hidden Markov chain over S states that emits writable ids.

    start: float64 [S]; moves: [S, S], row: from; emits: [S, V], zero at ids that are not writable.
    """

    vocabulary: Vocabulary
    start: Tensor
    moves: Tensor
    emits: Tensor

    @staticmethod
    def random(
        states: int = 3, seed: int = 0, vocabulary: Vocabulary = VOCABULARY, sharpness: float = 1.5
    ) -> HiddenMarkov:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64)

        emits = draw(states, vocabulary.size).masked_fill(~vocabulary.writable(), -torch.inf).softmax(-1)
        return HiddenMarkov(vocabulary, draw(states).softmax(-1), draw(states, states).softmax(-1), emits)

    def sample(self, rows: int, length: int, seed: int = 0) -> Tensor:
        """Long [rows, length]."""
        generator = torch.Generator().manual_seed(seed)
        state = torch.multinomial(self.start, rows, replacement=True, generator=generator)
        ids = []
        for _ in range(length):
            ids.append(torch.multinomial(self.emits[state], 1, generator=generator).squeeze(-1))
            state = torch.multinomial(self.moves[state], 1, generator=generator).squeeze(-1)
        return torch.stack(ids, -1)

    def log_probability(self, ids: Tensor) -> Tensor:
        """log p of each row [B, L], nats, [B]: the mean of its negative over samples estimates the entropy."""
        total, belief = torch.zeros(len(ids), dtype=torch.float64), self.start.expand(len(ids), -1)
        for i in range(ids.shape[1]):
            joint = belief * self.emits[:, ids[:, i]].T
            total = total + joint.sum(-1).log()
            belief = joint / joint.sum(-1, keepdim=True) @ self.moves
        return total

    def denoiser(self, process: ForwardProcess) -> Denoiser:
        """The exact leave-one-out denoiser. Frozen positions are read as given, padding is ignored."""

        def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
            evidence = torch.ones(*x_t.shape, len(self.start), dtype=torch.float64)
            times = t.expand(len(x_t)).tolist()
            laws = {time: self.emits @ transitions(process, 0.0, time) for time in set(times)}
            for row, time in enumerate(times):
                noisy = laws[time][:, x_t[row]].T
                given = self.emits[:, x_t[row]].T
                evidence[row] = torch.where(canvas.free[row].unsqueeze(-1), noisy, given)
            evidence = torch.where(canvas.valid.unsqueeze(-1), evidence, 1.0)
            law = self._smoothed(evidence) @ self.emits
            return (law / law.sum(-1, keepdim=True)).log()[where]

        return denoise

    def _smoothed(self, evidence: Tensor) -> Tensor:
        """p(state at i | evidence elsewhere), not normalised: [B, L, S]."""
        rows, length, states = evidence.shape
        before, after = [self.start.expand(rows, -1)], [torch.ones(rows, states, dtype=torch.float64)]
        for i in range(length - 1):
            message = (before[-1] * evidence[:, i]) @ self.moves
            before.append(message / message.sum(-1, keepdim=True))
            message = (after[-1] * evidence[:, length - 1 - i]) @ self.moves.T
            after.append(message / message.sum(-1, keepdim=True))
        return torch.stack(before, 1) * torch.stack(after[::-1], 1)


def _packed(where: Tensor, logits: Callable[[int, int], Tensor]) -> Tensor:
    """[N, V] from one row of logits for each true position, in row-major order."""
    return torch.stack([logits(row, i) for row, i in where.nonzero().tolist()])
