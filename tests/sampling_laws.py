"""What every sampler obeys, whatever its policies: functions that a test calls with its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from fakes import Counted, wild_denoiser
from torch import Tensor

from textdiff.denoiser import Denoiser
from textdiff.processes import AbsorbingProcess, ForwardProcess
from textdiff.registry import build, names
from textdiff.sampling import Event, Renoise, Sampler, Samples, preset, preset_names
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.transitions import AcceptTransition
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=9, special_ids=(0, 1, 2), mask_id=1, pad_id=0, filler_id=3)


def renoises() -> list[Renoise]:
    """Every registered renoise policy as it is by default, and one that is far more eager."""
    return [*(build(Renoise, name) for name in names(Renoise)), RemdmCapRenoise(cap=0.6)]


def alone(steps: int = 8) -> list[Sampler]:
    """The presets whose transition decides alone what settles, with so many steps, each once."""
    chosen = [preset(name) for name in preset_names() if preset(name).transition.alone]
    return list(dict.fromkeys(replace(sampler, steps=steps) for sampler in chosen))


def canvas_from(rows: Sequence[Sequence[bool]], seeds: Sequence[int], extra: int = 0) -> Canvas:
    """A canvas from frozen flags; given tokens follow from their place, some of them special. `extra`: more padding."""
    ids = [[(5 * i + 3) % VOCABULARY.size for i in range(len(row))] for row in rows]
    canvas = Canvas.of_rows(ids, rows, seeds, VOCABULARY)
    padded = [
        torch.nn.functional.pad(x, (0, extra), value=v) for x, v in zip(_parts(canvas), (0, True, False), strict=True)
    ]
    return Canvas(*padded, canvas.seeds)


def check_all(sampler: Sampler, process: ForwardProcess, canvas: Canvas, seed: int = 0) -> None:
    """Every law that one run, or a few of them, can show."""
    network = wild_denoiser(VOCABULARY, seed)
    samples = check_settles(sampler, process, canvas, network)
    check_same_again(sampler, process, canvas, network, samples)
    check_peers_do_not_matter(sampler, process, canvas, network, samples)


def check_settles(sampler: Sampler, process: ForwardProcess, canvas: Canvas, network: Denoiser) -> Samples:
    """Everything free is written with writable ids, nothing else changes, no network call is wasted or uncounted."""
    counted, events = Counted(network), list[Event]()
    samples = sampler.sample(counted, process, canvas, on_step=events.append)
    free = canvas.free
    assert torch.equal(samples.ids[~free], canvas.ids[~free])
    assert VOCABULARY.writable()[samples.ids[free]].all()
    assert torch.isfinite(samples.log_p).all()
    assert (samples.log_p <= 1e-6).all()
    assert (samples.log_p[~free] == 0).all()
    assert counted.rows == int(samples.nfe.sum())
    check_calls(sampler, process, canvas, samples)
    for event in events:
        assert not (event.noisy & ~free).any()
        assert torch.equal(event.ids[~free], canvas.ids[~free])
        if isinstance(process, AbsorbingProcess):
            assert torch.equal(event.noisy, free & (event.ids == process.mask_id))
    if sampler.final:
        for before, after in itertools.pairwise(events):
            settled = free & ~before.noisy
            assert not (after.noisy & settled).any()
            assert torch.equal(after.ids[settled], before.ids[settled])
    assert not events or not events[-1].noisy.any()
    return samples


def check_calls(sampler: Sampler, process: ForwardProcess, canvas: Canvas, samples: Samples) -> None:
    """nfe: at most one a step; where settled tokens stay, at most one a token; none where nothing is to be written."""
    tokens = canvas.free.sum(-1)
    if isinstance(sampler.grid, FirstHittingGrid):
        assert torch.equal(samples.nfe, tokens)
    else:
        assert (samples.nfe <= sampler.steps).all()
        assert samples.steps <= sampler.steps
    if isinstance(sampler.transition, AcceptTransition) and sampler.renoise.final:
        assert (samples.nfe <= tokens).all()
    assert ((samples.nfe > 0) == (tokens > 0)).all()


def check_same_again(
    sampler: Sampler, process: ForwardProcess, canvas: Canvas, network: Denoiser, samples: Samples
) -> None:
    """The same seed gives the same result, whatever stood at free positions before; a sampler keeps nothing."""
    junk = torch.where(canvas.free, (canvas.ids * 7 + 1) % VOCABULARY.size, canvas.ids)
    _same(sampler.sample(network, process, canvas.with_ids(junk)), samples)


def check_peers_do_not_matter(
    sampler: Sampler, process: ForwardProcess, canvas: Canvas, network: Denoiser, samples: Samples
) -> None:
    """A row alone, or in reversed order, or with more padding gives what it gives in the batch."""
    backwards = torch.arange(len(canvas.ids)).flip(0)
    _same(sampler.sample(network, process, canvas.rows(backwards)), samples, backwards)
    for i in range(len(canvas.ids)):
        one = torch.tensor([i])
        row = canvas.rows(one)
        ids, frozen, valid = (
            torch.nn.functional.pad(x, (0, 3), value=v) for x, v in zip(_parts(row), (8, True, False), strict=True)
        )
        alone = sampler.sample(network, process, Canvas(ids, frozen, valid, row.seeds))
        assert torch.equal(alone.ids[:, : row.shape[1]], samples.ids[one])
        assert torch.equal(alone.log_p[:, : row.shape[1]], samples.log_p[one])
        assert torch.equal(alone.nfe, samples.nfe[one])


def _same(found: Samples, expected: Samples, order: Tensor | None = None) -> None:
    index = torch.arange(len(expected.ids)) if order is None else order
    assert torch.equal(found.ids, expected.ids[index])
    assert torch.equal(found.nfe, expected.nfe[index])
    assert torch.equal(found.log_p, expected.log_p[index])


def _parts(canvas: Canvas) -> tuple[Tensor, Tensor, Tensor]:
    return canvas.ids, canvas.frozen, canvas.valid
