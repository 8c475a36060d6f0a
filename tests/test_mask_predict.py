"""Mask-Predict against a plain loop over one row, and by hand. Its law is in test_sampling_chain.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.errors import ConfigError
from textdiff.processes import AbsorbingProcess
from textdiff.registry import build
from textdiff.sampling import Event, Sampler, preset
from textdiff.sampling.grids import UniformGrid
from textdiff.sampling.state import State
from textdiff.text.canvas import Canvas

PROCESS = AbsorbingProcess(VOCABULARY)
MASK_PREDICT = preset("mask_predict")


def reference(network: Denoiser, canvas: Canvas, steps: int) -> tuple[list[int], list[float], int]:
    """The row of a canvas, its log-probabilities and the network calls: all masks filled, the worst n masked again."""
    places = canvas.free[0].nonzero().flatten().tolist()
    text = torch.where(canvas.free, PROCESS.mask_id, canvas.ids)
    log_p = torch.zeros(canvas.shape[1], dtype=torch.float64)
    masked, calls = places, 0
    for k in range(steps):
        if masked:
            where = torch.zeros_like(canvas.free).index_fill(1, torch.tensor(masked), True)
            best = (
                network(text, torch.tensor([(steps - k) / steps], dtype=torch.float64), canvas, where)
                .log_softmax(-1)
                .max(-1)
            )
            text[0, masked], log_p[masked] = best.indices, best.values.double()
            calls += 1
        n = round(len(places) * (steps - k - 1) / steps)
        # Equal to three decimals are ties, of which the first stays.
        masked = sorted(sorted(places, key=lambda place: (round(float(log_p[place]), 3), -place))[:n])
        text[0, masked] = PROCESS.mask_id
    return text[0].tolist(), log_p.tolist(), calls


# With an odd number of steps n is never half a token, which rounding errors would round either way.
@pytest.mark.parametrize("steps", [1, 3, 5, 9])
@settings(max_examples=20)
@given(frozen=st.lists(st.booleans(), min_size=1, max_size=12), seed=st.integers(0, 999))
def test_greedy_it_is_the_plain_loop(steps: int, frozen: list[bool], seed: int) -> None:
    canvas, network = canvas_from([frozen], [seed]), wild_denoiser(VOCABULARY, seed)
    text, log_p, calls = reference(network, canvas, steps)
    samples = replace(MASK_PREDICT, steps=steps, grid=UniformGrid()).sample(network, PROCESS, canvas)
    assert samples.ids[0].tolist() == text
    assert samples.log_p[0].tolist() == log_p
    assert samples.nfe.tolist() == [calls]


def test_a_token_keeps_the_probability_that_it_was_written_with() -> None:
    """Three tokens in three steps. The second is rewritten, surer than the first had been, which goes back for it."""
    says = {1.0: (0.7, 0.6, 0.9), 2 / 3: (0.99, 0.8, 0.75), 1 / 3: (0.5, 0.4, 0.99)}
    seen, asked = list[list[bool]](), list[list[bool]]()

    def network(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        asked.append(where[0].tolist())
        law = torch.zeros(3, VOCABULARY.size)
        step = [time for time in says if abs(time - float(t)) < 1e-6]
        for row, probability in zip(law, says[step[0]], strict=True):
            row[3], row[4] = probability, 1 - probability
        return law.log()[where[0]]

    def note(event: Event) -> None:
        seen.append(event.noisy[0].tolist())

    sampler = replace(MASK_PREDICT, steps=3)
    samples = sampler.sample(network, PROCESS, canvas_from([[False] * 3], [0]), on_step=note)
    # Written 0.7, 0.6, 0.9: the first two go. Written 0.99, 0.8 beside 0.9: the second goes. Written 0.6.
    assert asked == [[True] * 3, [True, True, False], [False, True, False]]
    assert seen == [[True, True, False], [False, True, False], [False] * 3]
    assert samples.log_p.exp()[0].tolist() == pytest.approx([0.99, 0.6, 0.9])
    says[2 / 3] = (0.95, 0.92, 0.75)
    asked.clear(), seen.clear()
    samples = sampler.sample(network, PROCESS, canvas_from([[False] * 3], [0]), on_step=note)
    # Beside what is written anew the old 0.9 is the worst now, although it had settled.
    assert seen == [[True, True, False], [False, False, True], [False] * 3]
    assert asked[2] == [False, False, True]
    assert samples.log_p.exp()[0].tolist() == pytest.approx([0.95, 0.92, 0.99])


@pytest.mark.parametrize("policy", [{"accept": "top_k"}, {"renoise": "remdm_cap"}])
def test_it_decides_alone(policy: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="the mask_predict transition decides alone what settles"):
        build(Sampler, {"transition": "mask_predict", **policy})


def test_what_is_certain_does_not_count_as_the_token_that_stood_there_before() -> None:
    state = State.begin(PROCESS, canvas_from([[False] * 3], [0]))
    state = replace(state, log_p=torch.tensor([[-3.0, -2.0, -1.0]], dtype=torch.float64))
    found = state.settled(torch.tensor([[-1, 4, -1]]))
    assert found.noisy.tolist() == [[True, False, True]] and int(found.x_t[0, 1]) == 4
    assert found.log_p.tolist() == [[-3.0, 0.0, -1.0]]
