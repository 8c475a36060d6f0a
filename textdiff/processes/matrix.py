"""Any transition matrices in discrete time, for small vocabularies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from textdiff.draws import Draws, categorical
from textdiff.errors import ConfigError
from textdiff.processes.base import ForwardProcess
from textdiff.processes.numerics import mask_of, per_position, safe_log, wide, writable_mask
from textdiff.registry import context_field, register
from textdiff.schedules import LinearSchedule, Schedule
from textdiff.vocabulary import Vocabulary


@register(ForwardProcess, "matrix")
@dataclass(frozen=True)
class MatrixProcess(ForwardProcess):
    """x_k ~ row x_{k-1} of Q_k, for steps k = 1 … steps. Time t means the step ceil(t * steps).

    Everything is derived from `matrices`; override it for other ones. Pure noise is what uniformly drawn ids turn into.
    The tables take steps * V^2 numbers: this is for small vocabularies.

    Attributes:
        kind: `uniform` and `absorbing` as the processes of that name; `banded` moves to near ids more often than to far
            ones (for ordered alphabets), at a pace at which alpha is what is left of the slowest change.
        steps: T, the number of steps.
        width: how far a token of the banded kind moves at once.

    Raises:
        ConfigError: steps or width below 1, or the kind needs a mask that the vocabulary lacks.

    Source: D3PM, arXiv 2107.03006, Eqs. 1 to 3 and Appendix A.2.
    """

    vocabulary: Vocabulary = context_field()
    schedule: Schedule = field(default_factory=LinearSchedule)
    kind: Literal["uniform", "absorbing", "banded"] = "uniform"
    steps: int = 64
    width: int = 1

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("width", self.width)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.kind == "absorbing":
            mask_of(self.vocabulary)

    def matrices(self) -> Tensor:
        """Q_1 … Q_T, float64 [T, V, V], each row a distribution; row: the id before, column: the id after."""
        alpha = self.schedule.alpha(torch.linspace(0, 1, self.steps + 1, dtype=torch.float64))
        kept = (alpha[1:] / alpha[:-1]).view(-1, 1, 1)
        if self.kind == "banded":
            return self._banded(kept)
        target = torch.zeros(self.vocabulary.size, self.vocabulary.size, dtype=torch.float64)
        if self.kind == "absorbing":
            target[:, mask_of(self.vocabulary)] = 1
        else:
            target[:] = self.vocabulary.writable() / torch.tensor(self.vocabulary.writable_count, dtype=torch.float64)
        return kept * torch.eye(self.vocabulary.size, dtype=torch.float64) + (1 - kept) * target

    def sample(self, x_0: Tensor, t: Tensor, draws: Draws) -> Tensor:
        law = self._marginals(x_0.device)[self._step(per_position(t)), x_0]
        return _draw(law, draws.uniform(x_0.shape[-1]))

    def sample_noise(self, like: Tensor, draws: Draws) -> Tensor:
        return _draw(self._prior(like.device).expand(*like.shape, -1), draws.uniform(like.shape[-1]))

    def posterior(self, log_p_x0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        earlier, later = self._step(s).expand(x_t.shape), self._step(t).expand(x_t.shape)
        steps = _tables(self, x_t.device)[0]
        into = torch.nn.functional.one_hot(x_t, self.vocabulary.size).to(torch.float64)
        for k in range(self.steps, 0, -1):
            inside = ((earlier < k) & (k <= later)).unsqueeze(-1)
            into = torch.where(inside, into @ steps[k - 1].T, into)
        joint = into * self._moved(log_p_x0, s)
        return safe_log(joint / joint.sum(-1, keepdim=True)).to(wide(log_p_x0).dtype)

    def marginal(self, log_p_x0: Tensor, s: Tensor) -> Tensor:
        return safe_log(self._moved(log_p_x0, s)).to(wide(log_p_x0).dtype)

    def nelbo(self, log_p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """T KL(q(x_{k-1} | x_k, x_0) || p(x_{k-1} | x_k)) at the step k of t; at k = 1 this is -T log p(x_0 | x_1)."""
        step = self._step(t).expand(x_t.shape).clamp(min=1)
        steps, marginals = _tables(self, x_t.device)
        into = steps[step - 1, :, x_t]
        p_x0 = log_p_x0.to(torch.float64).exp()
        q, p = into * marginals[step - 1, x_0], into * (p_x0.unsqueeze(-2) @ marginals[step - 1]).squeeze(-2)
        q, p = q / q.sum(-1, keepdim=True), p / p.sum(-1, keepdim=True)
        return self.steps * torch.where(q > 0, q * (safe_log(q) - safe_log(p)), 0.0).sum(-1)

    def to_leave_one_out(self, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        likelihood = self._marginals(x_t.device)[self._step(t).expand(x_t.shape), :, x_t]
        # Where x_t rules an id out, its leave-one-out logit cannot be recovered and is left as it is.
        return wide(logits) - torch.where(likelihood > 0, safe_log(likelihood), 0.0).to(wide(logits).dtype)

    def boundary_nats(self, x_0: Tensor) -> Tensor:
        last = self._marginals(x_0.device)[-1][x_0]
        return torch.where(last > 0, last * (safe_log(last) - safe_log(self._prior(x_0.device))), 0.0).sum(-1)

    def _step(self, t: Tensor) -> Tensor:
        """The step of time t; Long. A float error above a step's own time does not count as the next one."""
        return torch.ceil(t.to(torch.float64) * self.steps - 1e-6).long().clamp(0, self.steps)

    def _moved(self, log_p_x0: Tensor, s: Tensor) -> Tensor:
        """The law at s of an x_0 of these log-probabilities: float64 [N, V]."""
        tables = self._marginals(log_p_x0.device)[self._step(s).expand(log_p_x0.shape[:-1])]
        return (log_p_x0.to(torch.float64).exp().unsqueeze(-2) @ tables).squeeze(-2)

    def _marginals(self, device: torch.device) -> Tensor:
        return _tables(self, device)[1]

    def _prior(self, device: torch.device) -> Tensor:
        """What uniformly drawn writable ids have become after the last step: [V]."""
        return self._marginals(device)[-1][writable_mask(self.vocabulary, device)].mean(0)

    def _banded(self, kept: Tensor) -> Tensor:
        """exp(-rate (I - R)) on the writable ids, R the even move to the neighbours, by R's eigenvectors."""
        places = torch.arange(self.vocabulary.writable_count)
        near = ((places - places[:, None]).abs() <= self.width).to(torch.float64) / (2 * self.width + 1)
        near += torch.diag(1 - near.sum(-1))  # who would leave the row stays: symmetric, hence uniform in the limit
        values, vectors = torch.linalg.eigh(near)
        decay = (1 - values).clamp(min=0)
        decay[-1] = 0
        pace = (
            decay / decay[-2] if len(places) > 1 else decay
        )  # eigenvalues rise: the slowest change is the last but one
        inner = ((vectors * kept**pace) @ vectors.T).clamp(min=0)
        matrices = torch.eye(self.vocabulary.size, dtype=torch.float64).repeat(self.steps, 1, 1)
        ids = self.vocabulary.writable().nonzero().squeeze(-1)
        matrices[:, ids[:, None], ids] = inner / inner.sum(-1, keepdim=True)
        return matrices


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept must be usable in training later
def _tables(process: MatrixProcess, device: torch.device) -> tuple[Tensor, Tensor]:
    """The steps [T, V, V] and their products Q_1 … Q_k for k = 0 … T, [T + 1, V, V].

    Raises:
        ConfigError: a matrix has the wrong shape or a row that is no distribution.
    """
    steps, size = process.matrices(), process.vocabulary.size
    if steps.shape != (process.steps, size, size):
        raise ConfigError(f"{process.steps} matrices of {size} x {size} are needed, got shape {tuple(steps.shape)}")
    if (steps < 0).any() or not torch.allclose(steps.sum(-1), torch.ones((), dtype=steps.dtype)):
        raise ConfigError("every row of a transition matrix must be a distribution")
    marginals = [torch.eye(size, dtype=torch.float64)]
    for step in steps:
        marginals.append(marginals[-1] @ step)
    return steps.to(device), torch.stack(marginals).to(device)


def _draw(law: Tensor, uniform: Tensor) -> Tensor:
    """One id for each position: law [B, L, V], uniform [B, L]. Long [B, L]."""
    return categorical(law.flatten(0, 1), uniform.flatten()).view(uniform.shape)
