"""P2 and RDM, which judge settled tokens anew: against their own chains, plain loops, and by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import chains
import pytest
import scipy.stats
import torch
from fakes import Counted, from_table, state_number, states, wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import VOCABULARY, ToyLanguage, canvas_of, transitions
from sampling_laws import VOCABULARY as WIDE
from sampling_laws import canvas_from, check_peers_do_not_matter
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Event, Guidance, Sampler, TokenClasses, preset
from textdiff.sampling.accept import TopKAccept
from textdiff.sampling.grids import CosineGrid, EqualAlphaGrid, UniformGrid
from textdiff.sampling.transitions import P2Transition, RdmTransition, Transition
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas

LANGUAGE = ToyLanguage.random(length=2, seed=3)
STATES = states(VOCABULARY, 2)
ROWS = 30_000
COLD = (TemperatureWarp(0.0),)
WRITABLE = VOCABULARY.writable().nonzero().flatten().tolist()

Held = tuple[tuple[int, int], tuple[bool, bool], tuple[float, float]]
"""Two ids, which of them are noise, how probable they were when they settled."""


def process_of(name: str, vocabulary: object = VOCABULARY) -> ForwardProcess:
    return build(ForwardProcess, name, vocabulary=vocabulary)


def wild(t: float) -> Tensor:
    """Laws [S, L, V] that are others at each time."""
    generator = torch.Generator().manual_seed(round(1e6 * t))
    logits = 0.6 * torch.randn(len(STATES), 2, VOCABULARY.size, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~VOCABULARY.writable(), -torch.inf).softmax(-1)


def said(process: ForwardProcess, t: float) -> Tensor:
    """p(x_0 | x_t), [S, L, V]; with masks that of the network at settled places too."""
    return wild(t) if isinstance(process, AbsorbingProcess) else chains.moves(process, wild(t), 0.0, t)


def after(
    transition: Transition, process: ForwardProcess, law: dict[Held, float], s: float, t: float
) -> dict[Held, float]:
    """A step of the chain, over all that is drawn at both places, and all noise that follows."""
    tables, staying = said(process, t).tolist(), round(2 * s)
    pure = transitions(process, 0.0, 1.0)[WRITABLE[0]].tolist()
    kept = (1 - t) / (1 - s) if s > 0 else 0.0
    found: dict[Held, float] = {}
    for (ids, noisy, sure), weight in law.items():
        table = tables[int(state_number(torch.tensor([ids]), VOCABULARY))]
        drawn = [
            [(table[i][j], j) for j in WRITABLE]
            if noisy[i] or isinstance(transition, RdmTransition)
            else [(1.0, ids[i])]
            for i in range(2)
        ]
        for proposal in itertools.product(*drawn):
            p = [table[i][j] for i, (_, j) in enumerate(proposal)]
            eta = transition.eta if isinstance(transition, P2Transition) else 1.0
            score = [math.log(p[i]) * (1.0 if noisy[i] else eta) for i in range(2)]
            worst = sorted(range(2), key=lambda i: (round(score[i], 3), -i))[:staying]
            out = [i in worst for i in range(2)]
            if isinstance(transition, RdmTransition) and transition.conditional:
                worse = [proposal[i][1] == ids[i] and p[i] < sure[i] for i in range(2)]
                out = [out[i] and (noisy[i] or worse[i]) for i in range(2)]
            places = []
            for i in range(2):
                if not out[i]:
                    token = (proposal[i][1], False, p[i]) if noisy[i] else (ids[i], False, sure[i])
                    places.append([(1.0, token)])
                elif noisy[i] and isinstance(transition, P2Transition):
                    places.append([(1.0, (ids[i], True, 0.0))])
                else:
                    stays = kept if noisy[i] else 0.0
                    law_of = [(1 - stays) * pure[z] + stays * (z == ids[i]) for z in range(len(pure))]
                    places.append([(q, (z, True, 0.0)) for z, q in enumerate(law_of) if q > 0])
            chance = weight * math.prod(q for q, _ in proposal)
            for a, b in itertools.product(*places):
                key: Held = ((a[1][0], b[1][0]), (a[1][1], b[1][1]), (round(a[1][2], 9), round(b[1][2], 9)))
                found[key] = found.get(key, 0.0) + chance * a[0] * b[0]
    return found


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["absorbing", "uniform"])
@pytest.mark.parametrize(
    "transition",
    [P2Transition(0.4), P2Transition(), P2Transition(3.0), RdmTransition(), RdmTransition(conditional=True)],
    ids=repr,
)
def test_the_sampler_has_the_law_of_its_chain(name: str, transition: Transition) -> None:
    """In five steps tokens settle, are judged against new ones and go back; the law of the end is the chain's."""
    process, steps = process_of(name), 5
    pure = transitions(process, 0.0, 1.0)[WRITABLE[0]].tolist()
    law: dict[Held, float] = {
        ((a, b), (True, True), (0.0, 0.0)): pure[a] * pure[b]
        for a in range(len(pure))
        for b in range(len(pure))
        if pure[a] * pure[b] > 0
    }
    for k in range(steps):
        s, t = (steps - k - 1) / steps, (steps - k) / steps
        law = after(transition, process, law, s, t)
    expected = torch.zeros(16, dtype=torch.float64)
    for (ids, noisy, _), probability in law.items():
        assert noisy == (False, False)
        expected[LANGUAGE.index(torch.tensor([ids]))] += probability
    assert float(expected.sum()) == pytest.approx(1)
    canvas = canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))
    ids = Sampler(steps=steps, transition=transition).sample(from_table(wild, VOCABULARY), process, canvas).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    assert scipy.stats.chisquare(counts, expected * ROWS).pvalue > 1e-4


@pytest.mark.statistical
def test_rdm_with_randomness() -> None:
    """Gumbel noise on two scores makes the choice a logistic one; at s = 1/2 it has half its scale."""
    process, scale = process_of("absorbing"), 1.5
    mask = VOCABULARY.mask_id
    assert mask is not None
    first = wild(1.0)[int(state_number(torch.tensor([[mask, mask]]), VOCABULARY))]
    expected = torch.zeros(16, dtype=torch.float64)
    for a, b in itertools.product(WRITABLE, repeat=2):
        p = first[0, a], first[1, b]
        left = 1 / (1 + math.exp(float(p[1].log() - p[0].log()) / (scale / 2)))
        for place, share in ((0, left), (1, 1 - left)):
            ids = [a, mask] if place == 0 else [mask, b]
            rest = wild(0.5)[int(state_number(torch.tensor([ids]), VOCABULARY)), 1 - place]
            for token in WRITABLE:
                whole = [a, token] if place == 0 else [token, b]
                expected[LANGUAGE.index(torch.tensor([whole]))] += p[0] * p[1] * share * rest[token]
    sampler = Sampler(steps=2, transition=RdmTransition(randomness=scale))
    canvas = canvas_of(torch.zeros(ROWS, 2, dtype=torch.long))
    ids = sampler.sample(from_table(wild, VOCABULARY), process, canvas).ids
    counts = torch.bincount(LANGUAGE.index(ids), minlength=16).to(torch.float64)
    assert scipy.stats.chisquare(counts, expected * ROWS).pvalue > 1e-4


def test_rdm_lets_noise_move_on() -> None:
    """What stays noise keeps its token with probability alpha_t / alpha_s, or by chance; to 4.5 standard errors."""
    seen = list[Event]()
    sampler = Sampler(steps=4, transition=RdmTransition())
    sampler.sample(
        wild_denoiser(WIDE), process_of("uniform", WIDE), canvas_from([[False] * 20_000], [1]), on_step=seen.append
    )
    count = int(WIDE.writable().sum())
    for (before, after), kept in zip(itertools.pairwise(seen[:3]), (1 / 2, 2 / 3), strict=True):
        both = before.noisy & after.noisy
        same = (before.ids == after.ids)[both].double().mean()
        expected = kept + (1 - kept) / count
        assert abs(float(same) - expected) < 4.5 * (expected * (1 - expected) / int(both.sum())) ** 0.5


@pytest.mark.parametrize("name", ["absorbing", "uniform", "hybrid"])
@pytest.mark.parametrize("warps", [(), COLD])
def test_p2_with_eta_0_is_top_k(name: str, warps: tuple[TemperatureWarp, ...]) -> None:
    """Draw for draw; and then nobody is asked about settled tokens."""
    canvas = canvas_from([[False] * 7, [True, False] * 7, []], [3, 4, 5])
    plain = Sampler(steps=7, accept=TopKAccept(), warps=warps)
    asked = []
    for sampler in (plain, Sampler(steps=7, transition=P2Transition(0.0), warps=warps)):
        counted = Counted(wild_denoiser(WIDE))
        samples = sampler.sample(counted, process_of(name, WIDE), canvas)
        asked.append((samples, counted.positions))
    assert torch.equal(asked[0][0].ids, asked[1][0].ids) and torch.equal(asked[0][0].log_p, asked[1][0].log_p)
    assert asked[0][1] == asked[1][1]


def reference(
    network: Denoiser, canvas: Canvas, steps: int, eta: float, rdm: bool
) -> tuple[list[int], list[list[int]]]:
    """The text of a row, greedy, and which places were masks after each step."""
    mask = WIDE.mask_id
    assert mask is not None
    places = canvas.free[0].nonzero().flatten().tolist()
    text = torch.where(canvas.free, mask, canvas.ids)
    masked, seen = places, []
    for k in range(steps):
        if masked:
            time = torch.tensor([(steps - k) / steps], dtype=torch.float64)
            log_p = network(text, time, canvas, canvas.free).log_softmax(-1)
            score, best = {}, {}
            for place, row in zip(places, log_p, strict=True):
                best[place] = int(row.argmax())
                stands = best[place] if place in masked or rdm else int(text[0, place])
                score[place] = float(row[stands]) * (1.0 if place in masked else eta)
            n = round(len(places) * (steps - k - 1) / steps)
            worst = sorted(places, key=lambda place: (round(score[place], 3), -place))[:n]
            for place in places:
                text[0, place] = mask if place in worst else best[place] if place in masked else text[0, place]
            masked = sorted(worst)
        seen.append(masked)
    return text[0].tolist(), seen


# With an odd number of steps n is never half a token, which rounding errors would round either way.
@pytest.mark.parametrize("steps", [1, 3, 5, 9])
@settings(max_examples=15)
@given(
    frozen=st.lists(st.booleans(), min_size=1, max_size=12),
    seed=st.integers(0, 999),
    eta=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_greedy_they_are_the_plain_loop(steps: int, frozen: list[bool], seed: int, eta: float) -> None:
    canvas, network = canvas_from([frozen], [seed]), wild_denoiser(WIDE, seed)
    for transition in (P2Transition(eta), RdmTransition()):
        rdm, seen = isinstance(transition, RdmTransition), list[list[int]]()
        sampler = Sampler(steps=steps, grid=UniformGrid(), transition=transition, warps=COLD)

        def note(event: Event) -> None:
            seen.append(event.noisy[0].nonzero().flatten().tolist())  # noqa: B023

        samples = sampler.sample(network, process_of("absorbing", WIDE), canvas, on_step=note)
        text, masked = reference(network, canvas, steps, 1.0 if rdm else eta, rdm)
        assert samples.ids[0].tolist() == text
        assert seen == masked[: len(seen)]


def saying(answers: list[list[dict[int, float]]]) -> Denoiser:
    """What it says at each place in each call: probabilities, the rest being shared by id 8."""
    left = iter(answers)

    def denoise(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        law = torch.full((x_t.shape[1], WIDE.size), 1e-9)
        for row, some in zip(law, next(left), strict=True):
            for token, p in some.items():
                row[token] = p
            row[8] += 1 - sum(some.values())
        return law.log()[where[0]]

    return denoise


# Three places. The first call writes 4 at the first one, the surest; then its neighbours make something else of it.
ANSWERS = [
    [{4: 0.9}, {4: 0.6}, {4: 0.5}],
    [{4: 0.1, 5: 0.8}, {5: 0.7}, {5: 0.6}],
    [{6: 0.9}, {6: 0.9}, {6: 0.9}],
]


@pytest.mark.parametrize(
    ("transition", "noisy", "text"),
    [
        (P2Transition(1.0), [[1, 2], [0], []], [6, 5, 5]),  # 0.1 for the 4 that stands is the worst
        (P2Transition(0.1), [[1, 2], [2], []], [4, 5, 6]),  # 0.1^0.1 is not
        (RdmTransition(), [[1, 2], [2], []], [4, 5, 6]),  # 0.8 for the 5 that is proposed at its place
        (RdmTransition(conditional=True), [[1, 2], [2], []], [4, 5, 6]),
    ],
    ids=repr,
)
def test_what_goes_back_by_hand(transition: Transition, noisy: list[list[int]], text: list[int]) -> None:
    seen = list[list[int]]()
    sampler = Sampler(steps=3, transition=transition, warps=COLD)

    def note(event: Event) -> None:
        seen.append(event.noisy[0].nonzero().flatten().tolist())

    samples = sampler.sample(
        saying(ANSWERS), process_of("absorbing", WIDE), canvas_from([[False] * 3], [0]), on_step=note
    )
    assert seen == noisy and samples.ids[0].tolist() == text


def test_conditional_routing_lets_a_token_stay_that_is_not_proposed_again() -> None:
    """0.3 is the worst score of the second call, at the settled place, which goes back where it is for the same token."""
    for token, out in ((4, [0]), (5, [])):
        answers = [ANSWERS[0], [{token: 0.3, 6: 0.25, 7: 0.25}, {5: 0.7}, {5: 0.6}], ANSWERS[2]]
        seen = list[list[int]]()
        sampler = Sampler(steps=3, transition=RdmTransition(conditional=True), warps=COLD)

        def note(event: Event) -> None:
            seen.append(event.noisy[0].nonzero().flatten().tolist())  # noqa: B023

        sampler.sample(saying(answers), process_of("absorbing", WIDE), canvas_from([[False] * 3], [0]), on_step=note)
        assert seen[1] == out


def test_the_network_is_asked_about_settled_tokens_of_rows_that_still_write() -> None:
    canvas = canvas_from([[False] * 6, [True, False, True], [False]], [1, 2, 3])
    counted, noisy = Counted(wild_denoiser(WIDE)), list[Tensor]()
    sampler = replace(preset("p2"), steps=6)
    samples = sampler.sample(counted, process_of("absorbing", WIDE), canvas, on_step=lambda e: noisy.append(e.noisy))
    assert all(torch.isin(where.sum(-1), canvas.free.sum(-1)).all() for _, where in counted.seen)
    assert counted.positions == int((samples.nfe * canvas.free.sum(-1)).sum())
    assert any((after & ~before).any() for before, after in itertools.pairwise(noisy))


@pytest.mark.parametrize("name", ["p2", "rdm"])
@pytest.mark.parametrize("guidance", [Guidance(), Guidance(2.0)])
def test_a_place_with_one_possible_token_is_never_put_back(name: str, guidance: Guidance) -> None:
    """Judged among what may stand there it is certain, like a new one."""
    table = torch.stack([WIDE.writable(), torch.arange(WIDE.size) == 7])
    which = torch.tensor([[0, 1, 0, 0, 1, 0, 0]])
    noisy = list[Tensor]()
    sampler = replace(preset(name), steps=7, grid=EqualAlphaGrid(), guidance=guidance)
    for process in ("absorbing", "uniform"):
        noisy.clear()
        canvas = canvas_from([[False] * 7], [1])
        classes, network = TokenClasses(table, which), wild_denoiser(WIDE, 3)
        samples = sampler.sample(network, process_of(process, WIDE), canvas, classes, lambda e: noisy.append(e.noisy))
        assert samples.ids[0, [1, 4]].tolist() == [7, 7]
        forced = torch.stack(noisy)[:, 0, [1, 4]]
        assert not (forced[1:] & ~forced[:-1]).any()


@settings(max_examples=10)
@given(
    frozen=st.lists(st.lists(st.booleans(), max_size=7), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    transition=st.sampled_from(
        [P2Transition(), P2Transition(5.0), RdmTransition(True, 1.0), RdmTransition(randomness=2.0)]
    ),
    process=st.sampled_from(["absorbing", "uniform", "hybrid"]),
)
def test_peers_do_not_matter(frozen: list[list[bool]], seed: int, transition: Transition, process: str) -> None:
    canvas = canvas_from(frozen, range(seed, seed + len(frozen)))
    sampler, network = Sampler(steps=6, grid=CosineGrid(), transition=transition), wild_denoiser(WIDE, seed)
    samples = sampler.sample(network, process_of(process, WIDE), canvas)
    check_peers_do_not_matter(sampler, process_of(process, WIDE), canvas, network, samples)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"transition": {"name": "p2", "eta": -1}}, "eta must be a finite number of at least 0"),
        ({"transition": {"name": "rdm", "randomness": -1}}, "randomness must be a finite number of at least 0"),
        ({"transition": "p2", "accept": "margin"}, "the p2 transition decides alone what settles"),
        ({"transition": "rdm", "renoise": "psi"}, "the rdm transition decides alone what settles"),
    ],
)
def test_wrong_options_are_errors(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Sampler, config)
