"""Warps that look at the time and at what stands: against chains that are worked out by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, Warp, preset
from textdiff.sampling.warps import CoolingWarp, NoRepeatNgramWarp, RepetitionWarp, TemperatureWarp
from textdiff.sampling.warps.no_repeat_ngram import _completions, _repeating
from textdiff.text.canvas import Canvas

PROCESS = AbsorbingProcess(vocabulary=VOCABULARY)
WRITABLE = VOCABULARY.writable().nonzero()[:, 0].tolist()
P = torch.zeros(VOCABULARY.size, dtype=torch.float64)
P[WRITABLE] = torch.tensor([2.0**-i for i in range(len(WRITABLE))], dtype=torch.float64)
P /= P.sum()
DRAWS = 40_000
ROWS = [[True, False, False, False], [False] * 6, [False, True, False, False, True, False, False]]


def same_everywhere(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
    """A denoiser that says the same at every position, whatever stands around it."""
    return P.log().float().expand(int(where.sum()), -1)


def rows(given: list[int], free: int, count: int) -> Canvas:
    ids = torch.tensor([given + [VOCABULARY.mask_id] * free] * count)
    frozen = torch.tensor([[True] * len(given) + [False] * free] * count)
    return Canvas(ids, frozen, torch.ones_like(frozen), torch.arange(count))


def frequencies(sampler: Sampler, canvas: Canvas, last: int) -> Counter[tuple[int, ...]]:
    ids = sampler.sample(same_everywhere, PROCESS, canvas).ids
    return Counter(map(tuple, ids[:, -last:].tolist()))


def close(found: Counter[tuple[int, ...]], law: dict[tuple[int, ...], float]) -> bool:
    """Within five standard errors everywhere."""
    total = sum(found.values())
    assert sum(law.values()) == pytest.approx(1)
    assert found.keys() <= {key for key, p in law.items() if p > 0}
    return all(abs(found[key] / total - p) <= 5 * (p * (1 - p) / total) ** 0.5 + 1e-9 for key, p in law.items())


def test_what_stands_is_less_probable_by_the_penalty() -> None:
    """From left to right: the first token sees what is given, the second one the first as well."""
    first = WRITABLE[0]
    law = {}
    for one, two in itertools.product(WRITABLE, repeat=2):
        chance = 1.0
        for token, stands in ((one, {first}), (two, {first, one})):
            weights = {i: float(P[i]) ** (2.0 if i in stands else 1.0) for i in WRITABLE}
            chance *= weights[token] / sum(weights.values())
        law[one, two] = chance
    sampler = replace(preset("left_to_right"), warps=(RepetitionWarp(2.0),))
    found = frequencies(sampler, rows([first], 2, DRAWS), 2)
    assert close(found, law)
    assert not close(frequencies(preset("left_to_right"), rows([first], 2, DRAWS), 2), law)


def test_a_run_cools_as_its_noise_goes() -> None:
    """One token at a time: of three the first is drawn at the start, the last nearest to the end."""
    warmth = [0.4 + 1.6 * (left / 3) ** 2 for left in (3, 2, 1)]
    law = {}
    for text in itertools.product(WRITABLE, repeat=3):
        chance = 1.0
        for token, temperature in zip(text, warmth, strict=True):
            weights = P[WRITABLE] ** (1 / temperature)
            chance *= float(P[token] ** (1 / temperature) / weights.sum())
        law[text] = chance
    sampler = replace(preset("left_to_right"), warps=(CoolingWarp(2.0, 0.4, 2.0),))
    assert close(frequencies(sampler, rows([], 3, DRAWS), 3), law)


def test_a_cooling_that_stays_is_a_temperature() -> None:
    canvas = rows([WRITABLE[1]], 4, 64)
    found = [
        replace(preset("ancestral"), steps=4, warps=(warp,)).sample(same_everywhere, PROCESS, canvas).ids
        for warp in (CoolingWarp(0.7, 0.7), TemperatureWarp(0.7))
    ]
    assert torch.equal(*found)


def repeats(row: list[int], n: int) -> bool:
    grams = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
    return len(grams) > len({*grams})


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", ["left_to_right", "first_hitting"])
def test_no_n_gram_stands_twice(name: str, n: int) -> None:
    """One token at a time, in either order, with so many tokens to choose from that one is always left."""
    length = 4 if n == 1 else 6
    canvas = rows([], length, 2_000)
    plain = preset(name).sample(same_everywhere, PROCESS, canvas).ids.tolist()
    kept = replace(preset(name), warps=(NoRepeatNgramWarp(n),)).sample(same_everywhere, PROCESS, canvas).ids.tolist()
    assert sum(repeats(row, n) for row in plain) > 100
    assert not any(repeats(row, n) for row in kept)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 4), st.data())
def test_completions_are_those_of_trying_every_token(ids: list[int], n: int, data: st.DataObject) -> None:
    """Put each token in, and look whether an n-gram around it then stands twice."""
    stands = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    column = data.draw(st.integers(0, len(ids) - 1))
    stands[column] = False

    expected = set()
    for token in range(4):
        text, here = [*ids], [*stands]
        text[column], here[column] = token, True
        grams = {i: tuple(text[i : i + n]) for i in range(len(text) - n + 1) if all(here[i : i + n])}
        around = [i for i in grams if i <= column < i + n]
        if any(grams[i] == grams[j] for i in around for j in grams if i != j):
            expected.add(token)
    assert _repeating(ids, stands, column, _completions(ids, stands, n), n) == expected


@pytest.mark.parametrize("warp", [RepetitionWarp(1.5), CoolingWarp(1.2, 0.3), NoRepeatNgramWarp(2)])
def test_a_row_depends_on_itself_alone(warp: Warp) -> None:
    """Alone and among others, at any place of the batch."""
    sampler, canvas = replace(preset("ancestral"), steps=5, warps=(warp,)), canvas_from(ROWS, [5, 6, 7])
    denoiser = wild_denoiser(VOCABULARY, 3)
    whole = sampler.sample(denoiser, PROCESS, canvas).ids
    for row in range(len(canvas.ids)):
        alone = sampler.sample(denoiser, PROCESS, canvas.rows(torch.tensor([row]))).ids
        assert torch.equal(alone[0], whole[row])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"name": "cooling", "end": 0}, "end must be a finite number above 0, got 0"),
        ({"name": "repetition", "penalty": 0}, "penalty must be a finite number above 0, got 0"),
        ({"name": "no_repeat_ngram", "n": 0}, "n must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_said(config: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build(Warp, config)
