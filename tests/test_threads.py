"""What is written does not depend on how many threads work: large enough tensors for torch to share them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from fakes import wild_denoiser
from torch import Tensor

from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, preset, preset_names
from textdiff.sampling.classifiers import by_substitution
from textdiff.sampling.guidance import Guidance
from textdiff.sampling.samples import Samples
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

WIDE = Vocabulary(size=1500, special_ids=(0, 1, 2), mask_id=1, pad_id=0)
NETWORK = wild_denoiser(WIDE)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def written(sampler: Sampler, process: str, threads: int, **options: object) -> Samples:
    torch.set_num_threads(threads)
    noise = build(ForwardProcess, process, vocabulary=WIDE)
    nothing = torch.zeros(12, 8, dtype=torch.bool)
    canvas = Canvas(nothing.long(), nothing, ~nothing, torch.arange(12))
    return sampler.sample(NETWORK, noise, canvas, **options)  # type: ignore[arg-type]


def check_same(sampler: Sampler, process: str, **options: object) -> None:
    one, two = (written(sampler, process, threads, **options) for threads in (1, 2))
    assert torch.equal(one.ids, two.ids) and torch.equal(one.log_p, two.log_p) and torch.equal(one.nfe, two.nfe)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset(name: str) -> None:
    sampler = replace(preset(name), steps=4)
    check_same(sampler, "absorbing")
    if sampler.grid.counts_steps:  # the others count masks
        check_same(sampler, "uniform")


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_guidance(process: str) -> None:
    def log_p(ids: Tensor, t: Tensor, canvas: Canvas) -> Tensor:
        return -(ids.sum(-1) % 13).double()

    few = by_substitution(log_p, 30)

    def classify(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        return few(x_t, t, canvas, where).repeat(1, WIDE.size // 30)

    sampler = replace(preset("posterior"), steps=3, guidance=Guidance(2.0, classifier=1.5))
    check_same(sampler, process, weak=wild_denoiser(WIDE, 1), classifier=classify)
