"""The Markov chain of each sampler, enumerated: kernels [S, S] over all rows of ids, written from the papers' formulas.

Nothing here uses the sampler or its policies. `laws` [S, L, V] is p(x_0 at i | x_t without i) for every state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from fakes import state_number, states
from oracles import transitions
from torch import Tensor

from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.vocabulary import Vocabulary

Score = Callable[[Tensor, Tensor], Tensor]
"""(laws [n, V] of the noisy positions, proposals [n]) -> scores [n]."""


def independent(moves: Tensor, ids: Tensor) -> Tensor:
    """A kernel whose positions move independently given the state. moves [S, L, V]."""
    kernel = torch.ones(len(ids), len(ids), dtype=torch.float64)
    for i in range(ids.shape[1]):
        kernel *= moves[:, i][:, ids[:, i]]
    return kernel


def posterior(process: ForwardProcess, laws: Tensor, s: float, t: float) -> Tensor:
    return independent(moves(process, laws, s, t), states(process.vocabulary, laws.shape[1]))


def moves(process: ForwardProcess, laws: Tensor, s: float, t: float) -> Tensor:
    """Bayes: p(x_s = j | x_t = z) is in proportion to q(z | j) sum over x_0 of q(j | x_0) p(x_0). [S, L, V]."""
    ids = states(process.vocabulary, laws.shape[1])
    before = laws @ transitions(process, 0.0, s)
    joint = before * transitions(process, s, t).T[ids]
    return joint / joint.sum(-1, keepdim=True)


def reverse_rates(process: ForwardProcess, laws: Tensor, t: float) -> Tensor:
    """Of jumps from each state's token to another: the forward rate back, by differences, times p_t(j) / p_t(z). [S, L, V]."""
    step = 1e-6
    t = min(t, 1 - 2 * step)  # at 1 itself the ratios are 0 and the forward rates infinite
    ids = states(process.vocabulary, laws.shape[1])
    none = torch.eye(process.vocabulary.size, dtype=torch.float64)
    forward = (transitions(process, t, t + step) - none) / step
    at_t = laws @ transitions(process, 0.0, t)
    here = at_t.gather(-1, ids.unsqueeze(-1))
    rates = torch.where(here > 0, forward.T[ids] * at_t / here, 0.0)
    return rates.scatter(-1, ids.unsqueeze(-1), 0.0)


def leaping(process: ForwardProcess, laws: Tensor, s: float, t: float, leaves: Callable[[Tensor], Tensor]) -> Tensor:
    """A step of constant rates: a token changes with probability leaves(expected jumps). At s = 0 Bayes' rule."""
    if s == 0:
        return posterior(process, laws, s, t)
    ids = states(process.vocabulary, laws.shape[1])
    rates = reverse_rates(process, laws, t)
    total = rates.sum(-1, keepdim=True)
    moved = torch.where(total > 0, leaves(total * (t - s)) * rates / total, 0.0)
    return independent(moved.scatter(-1, ids.unsqueeze(-1), 1 - moved.sum(-1, keepdim=True)), ids)


def guided(strong: Tensor, weak: Tensor, weight: float) -> Tensor:
    """Laws in proportion to strong^w weak^(1 - w)."""
    mixed = torch.where(strong > 0, strong**weight * weak ** (1 - weight), 0.0)
    return mixed / mixed.sum(-1, keepdim=True)


def remdm(vocabulary: Vocabulary, laws: Tensor, alpha_s: float, alpha_t: float, sigma: float) -> Tensor:
    """ReMDM's kernel, arXiv 2503.00307, Eq. 4; with sigma = 0 MDLM's."""
    assert vocabulary.mask_id is not None
    ids = states(vocabulary, laws.shape[1])
    settles = (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)
    mask = torch.nn.functional.one_hot(torch.tensor(vocabulary.mask_id), vocabulary.size).to(torch.float64)
    here = torch.nn.functional.one_hot(ids, vocabulary.size).to(torch.float64)
    masked = (ids == vocabulary.mask_id).unsqueeze(-1)
    return independent(
        torch.where(masked, settles * laws + (1 - settles) * mask, (1 - sigma) * here + sigma * mask), ids
    )


def mean_entropy(process: ForwardProcess, laws: Tensor, t: float) -> Tensor:
    """Of p(x_0 | x_t) at what is noisy: the masks, or all positions where noise does not show. [S]; NaN where nothing is."""
    law = moves(process, laws, 0.0, t)
    noisy = torch.ones(law.shape[:2], dtype=torch.float64)
    if isinstance(process, AbsorbingProcess):
        noisy = (states(process.vocabulary, laws.shape[1]) == process.mask_id).double()
    entropy = -torch.special.xlogy(law, law).sum(-1)
    return torch.where(noisy > 0, entropy, 0.0).sum(-1) / noisy.sum(-1)


Remembered = dict[tuple[tuple[int, ...], tuple[float, ...]], float]
"""The probability of each (ids, how probable each token was when it settled)."""


def remdm_confidence(vocabulary: Vocabulary, laws: Tensor, law: Remembered, settles: float, sigma: float) -> Remembered:
    """One step of ReMDM's confidence schedule, arXiv 2503.00307, section 4.1, on the law of what is remembered."""
    after: Remembered = {}
    for (ids, sure), weight in law.items():
        table = laws[int(state_number(torch.tensor([ids]), vocabulary))]
        weights = [math.exp(-p) if i != vocabulary.mask_id else 0.0 for i, p in zip(ids, sure, strict=True)]
        moves = []
        for place, (i, p) in enumerate(zip(ids, sure, strict=True)):
            if i == vocabulary.mask_id:
                drawn = [(settles * q, j, q) for j, q in enumerate(table[place].tolist()) if q > 0]
                moves.append([(1 - settles, i, 0.0), *drawn])
            else:
                gone = sigma * weights[place] / sum(weights)
                moves.append([(1 - gone, i, p), (gone, vocabulary.mask_id, 0.0)])
        for move in itertools.product(*moves):
            key = tuple(i for _, i, _ in move), tuple(p for _, _, p in move)
            after[key] = after.get(key, 0.0) + weight * math.prod(p for p, _, _ in move)
    return {key: weight for key, weight in after.items() if weight > 0}


def mask_predict(vocabulary: Vocabulary, laws: Tensor, law: Remembered, staying: int) -> Remembered:
    """One step of Mask-Predict, arXiv 1904.09324, section 3: masks are filled, the `staying` least probable masked again."""
    after: Remembered = {}
    for (ids, sure), weight in law.items():
        table = laws[int(state_number(torch.tensor([ids]), vocabulary))].tolist()
        options = [
            [(q, j, q) for j, q in enumerate(table[place]) if q > 0] if i == vocabulary.mask_id else [(1.0, i, p)]
            for place, (i, p) in enumerate(zip(ids, sure, strict=True))
        ]
        for drawn in itertools.product(*options):
            masked = sorted(range(len(drawn)), key=lambda place: drawn[place][2])[:staying]
            text = [(vocabulary.mask_id, 0.0) if place in masked else drawn[place][1:] for place in range(len(drawn))]
            key = tuple(i for i, _ in text), tuple(p for _, p in text)
            after[key] = after.get(key, 0.0) + weight * math.prod(q for q, _, _ in drawn)
    return after


def fresh_noise(
    process: ForwardProcess, laws: Tensor, s: float, t: float, choose: Callable[[Tensor, Tensor], list[int]]
) -> Tensor:
    """One step: x_0 ~ p(x_0 | x_t) at both positions, those that are chosen from (laws, proposals) stay, the rest is noise."""
    ids = states(process.vocabulary, laws.shape[1])
    if s == 0:
        return posterior(process, laws, 0.0, t)
    law, kernel = moves(process, laws, 0.0, t), torch.zeros(len(ids), len(ids), dtype=torch.float64)
    writable = process.vocabulary.writable().nonzero().flatten().tolist()
    for number, proposal in itertools.product(
        range(len(ids)), map(torch.tensor, itertools.product(writable, repeat=2))
    ):
        if law[number].isnan().any():
            continue
        stays = torch.zeros(2, dtype=torch.bool)
        stays[choose(law[number], proposal)] = True
        drawn = float(confidence(law[number], proposal).prod())
        for noise in itertools.product(writable, repeat=int((~stays).sum())):
            after = proposal.clone()
            after[~stays] = torch.tensor(noise, dtype=torch.long)
            kernel[number, state_number(after[None], process.vocabulary)] += drawn / len(writable) ** len(noise)
    return kernel


def one_at_a_time(vocabulary: Vocabulary, laws: Tensor) -> Tensor:
    """One masked position, chosen uniformly, takes its token."""
    return _choosing(vocabulary, laws, lambda law, proposal: [(1 / len(law), [i]) for i in range(len(law))])


def ranked(vocabulary: Vocabulary, laws: Tensor, staying: int, score: Score) -> Tensor:
    """All masked positions get proposals; those with the best scores settle, so that `staying` masks stay."""

    def choose(law: Tensor, proposal: Tensor) -> list[tuple[float, list[int]]]:
        best = score(law, proposal).argsort(descending=True, stable=True).tolist()
        return [(1.0, best[: max(len(best) - staying, 0)])]

    return _choosing(vocabulary, laws, choose)


def threshold(vocabulary: Vocabulary, laws: Tensor, probability: float, score: Score | None = None) -> Tensor:
    """All masked positions with at least this score settle, and the best one; the proposal's probability is the score."""

    def choose(law: Tensor, proposal: Tensor) -> list[tuple[float, list[int]]]:
        p = (score or confidence)(law, proposal)
        return [(1.0, sorted({int(p.argmax())} | set((p >= probability).nonzero().flatten().tolist())))]

    return _choosing(vocabulary, laws, choose)


def entropy_bound(vocabulary: Vocabulary, laws: Tensor, gamma: float) -> Tensor:
    """The largest set of the surest positions with sum H - max H <= gamma settles, by trying all sizes."""

    def choose(law: Tensor, proposal: Tensor) -> list[tuple[float, list[int]]]:
        entropy = -certainty(law, proposal)
        order = entropy.argsort(stable=True).tolist()
        sizes = [k for k in range(1, len(order) + 1) if entropy[order[:k]].sum() - entropy[order[:k]].max() <= gamma]
        return [(1.0, order[: max(sizes)])]

    return _choosing(vocabulary, laws, choose)


def factor(vocabulary: Vocabulary, laws: Tensor, bound: float) -> Tensor:
    """The n most probable proposals settle, for the largest n with (n + 1)(1 - c_n) < bound."""

    def choose(law: Tensor, proposal: Tensor) -> list[tuple[float, list[int]]]:
        p = confidence(law, proposal)
        order = p.argsort(descending=True, stable=True).tolist()
        sizes = [n for n in range(1, len(order) + 1) if (n + 1) * (1 - p[order[n - 1]]) < bound]
        return [(1.0, order[: max(sizes, default=1)])]

    return _choosing(vocabulary, laws, choose)


def noisy_ranks(vocabulary: Vocabulary, laws: Tensor, scale: float) -> Tensor:
    """One of two masks settles; Gumbel noise of this scale on log p makes the choice a logistic one."""

    def choose(law: Tensor, proposal: Tensor) -> list[tuple[float, list[int]]]:
        if len(law) == 1:
            return [(1.0, [0])]
        p = confidence(law, proposal)
        first = 1 / (1 + math.exp(float(p[1].log() - p[0].log()) / scale))
        return [(first, [0]), (1 - first, [1])]

    return _choosing(vocabulary, laws, choose)


def confidence(law: Tensor, proposal: Tensor) -> Tensor:
    return law.gather(1, proposal[:, None])[:, 0]


def top_probability(law: Tensor, proposal: Tensor) -> Tensor:
    return law.max(1).values


def margin(law: Tensor, proposal: Tensor) -> Tensor:
    ordered = law.sort(descending=True).values
    return ordered[:, 0] - ordered[:, 1]


def certainty(law: Tensor, proposal: Tensor) -> Tensor:
    return torch.special.xlogy(law, law).sum(-1)


def _choosing(
    vocabulary: Vocabulary, laws: Tensor, choose: Callable[[Tensor, Tensor], list[tuple[float, list[int]]]]
) -> Tensor:
    """The kernel of "propose a token at every masked position, settle some": a sum over all joint proposals."""
    ids = states(vocabulary, laws.shape[1])
    kernel = torch.zeros(len(ids), len(ids), dtype=torch.float64)
    writable = vocabulary.writable().nonzero().flatten().tolist()
    for number, state in enumerate(ids):
        masked = (state == vocabulary.mask_id).nonzero().flatten()
        law = laws[number, masked]
        if len(masked) == 0 or law.isnan().any():
            kernel[number, number] = 1
            continue
        for proposal in map(torch.tensor, itertools.product(writable, repeat=len(masked))):
            drawn = float(confidence(law, proposal).prod())
            for probability, chosen in choose(law, proposal):
                after = state.clone()
                after[masked[chosen]] = proposal[chosen]
                kernel[number, state_number(after[None], vocabulary)] += drawn * probability
    return kernel
