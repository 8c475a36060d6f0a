"""A left-to-right model reads each token once while it writes, and says what it would have said."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from oracles import canvas_of
from pairs import sources, trained
from test_left_to_right import SETTINGS, VOCABULARY, twin
from tiny import senseless_checkpoint

from textdiff.infiller import Infiller
from textdiff.infiller.reading_on import ReadingOn, denoiser_for
from textdiff.processes import AbsorbingProcess
from textdiff.text.canvas import Canvas


def at(canvas: Canvas, places: list[int]) -> torch.Tensor:
    """Bool [B, L]: one place of each row."""
    return torch.arange(canvas.shape[1]) == torch.tensor(places)[:, None]


@pytest.mark.parametrize("config", [SETTINGS[0], SETTINGS[2]], ids=repr)
@torch.no_grad()
def test_cached_logits_are_those_of_the_whole_text(config: object) -> None:
    """Rows at different places, of which some rest; what was read and is changed is read again."""
    model, length = twin(config), 9
    generator = torch.Generator().manual_seed(3)
    canvas = canvas_of(torch.randint(2, VOCABULARY.size, (4, length), generator=generator))
    read, canvas = denoiser_for(model, canvas)
    assert isinstance(read, ReadingOn)
    x_t = torch.full_like(canvas.ids, 1)
    x_t[:, :2] = canvas.ids[:, :2]
    calls = [
        ([0, 1, 2, 3], [2, 0, 1, 2]),
        ([0, 2, 3], [3, 2, 7]),
        ([0, 1, 2, 3], [4, 5, 3, 8]),
        ([3, 0], [4, 4]),  # back to a place before
        ([1, 2], [8, 8]),
    ]
    for number, (rows, places) in enumerate(calls):
        index = torch.tensor(rows)
        for row, place in zip(rows, places, strict=True):
            x_t[row, :place] = canvas.ids[row, :place]
            if number == 4:
                x_t[row, 1] = 2 + (x_t[row, 1] - 1) % (VOCABULARY.size - 2)  # something else stands here now
        part = canvas.rows(index)
        found = read(x_t[index], torch.zeros(len(rows)), part, at(part, places)).logits()
        whole = model.denoise(x_t[index], torch.zeros(len(rows)), part, at(part, places))
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)
    hidden = replace(canvas, hidden=torch.arange(length).expand(4, -1) < 2)
    hidden = replace(hidden, frozen=hidden.hidden)
    places = at(canvas, [4, 5, 3, 8])
    for part in (hidden, canvas):  # what guidance hides leaves no trace
        found, whole = (ask(x_t, torch.zeros(4), part, places).logits() for ask in (read, model.read))
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)
    every = read(x_t, torch.zeros(4), canvas, torch.ones_like(canvas.valid)).logits()
    torch.testing.assert_close(every, model.denoise(x_t, torch.zeros(4), canvas, torch.ones_like(canvas.valid)))


def test_each_token_goes_through_the_network_once() -> None:
    checkpoint = senseless_checkpoint("autoregressive")
    infiller = Infiller(checkpoint.model, checkpoint.tokenizer, checkpoint.samplers)
    read: list[int] = []
    watch = checkpoint.model.backbone.blocks[0].attention.qkv.register_forward_hook(
        lambda module, inputs, output: read.append(output.shape[0] * output.shape[1])
    )
    written = infiller.generate("The old house", n=2, max_new_tokens=20, seed=3)
    watch.remove()
    given = len(infiller.tokenizer.prefix_ids) + len(infiller.tokenizer.encode("The old house"))
    assert read == [2 * (given + 1), *[2] * 19]
    with patch("textdiff.infiller.writing.denoiser_for", lambda model, canvas: (model.read, canvas)):
        whole = infiller.generate("The old house", n=2, max_new_tokens=20, seed=3)
    assert [sample.text for sample in written.samples] == [sample.text for sample in whole.samples]
    assert whole.stats.nfe == written.stats.nfe == 20


def test_targets_of_different_lengths_are_the_same_with_and_without() -> None:
    infiller = trained("autoregressive")
    texts = sources(30, seed=6)
    found = infiller.targets(texts, temperature=2.0)
    with patch("textdiff.infiller.writing.denoiser_for", lambda model, canvas: (model.read, canvas)):
        assert infiller.targets(texts, temperature=2.0) == found
    assert len({target.network_calls for target in found}) > 2


def test_what_cannot_read_on_reads_all_each_time() -> None:
    canvas = canvas_of(torch.full((1, 4), 5))
    timed, causal = twin(SETTINGS[1]), twin()
    diffusion = type(causal).of(SETTINGS[0], AbsorbingProcess(VOCABULARY), 9)
    for model in (timed, diffusion):
        assert denoiser_for(model, canvas) == (model.read, canvas)
    apart = replace(canvas, documents=torch.zeros_like(canvas.ids))
    assert denoiser_for(causal, apart) == (causal.read, apart)
