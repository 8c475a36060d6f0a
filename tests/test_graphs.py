"""Layers that run as CUDA graphs, but for the graphs: in their place stands what keeps its inputs and results as they do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from sampling_laws import VOCABULARY, canvas_from
from torch import Tensor

import textdiff
from textdiff.backbones import DiT, DiTConfig
from textdiff.backbones.graphs import MOST, PATIENCE, Graphs, Work
from textdiff.masks import all_true, is_full, known_empty, known_places, mask_at, none_true
from textdiff.model import DiffusionModel
from textdiff.packed import places_of
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler

FROZEN = [[False] * 17, [i % 3 == 0 for i in range(17)], [i > 4 for i in range(17)]]


@dataclass
class StandIn:
    """As `Captured`: its work reads and writes the same tensors each time, and is never given others."""

    work: Work
    kept: tuple[Tensor | None, ...]
    results: tuple[Tensor, ...]

    def __call__(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        for old, x in zip(self.kept, inputs, strict=True):
            if old is not None and x is not None:
                old[: len(x)].copy_(x)
        for old, result in zip(self.results, self.work(*self.kept), strict=True):
            old.copy_(result)
        return self.results


@dataclass
class Maker:
    """Makes stand-ins, and counts them by their rows."""

    rows: list[int] = field(default_factory=list)

    def __call__(self, work: Work, inputs: tuple[Tensor | None, ...]) -> Work:
        assert inputs[0] is not None
        self.rows.append(len(inputs[0]))
        kept = tuple(None if x is None else x.clone() for x in inputs)
        return StandIn(work, kept, tuple(x.clone() for x in work(*kept)))


def doubled(x: Tensor, other: Tensor | None = None) -> tuple[Tensor, ...]:
    return (2 * x if other is None else 2 * x + other,)


def test_a_shape_that_comes_again_gets_a_graph() -> None:
    made = Maker()
    graphs = Graphs("cpu", made)
    for number in range(PATIENCE + 3):
        x = torch.full((4, 5), float(number))
        assert torch.equal(graphs(doubled, x)[0], 2 * x)
        assert torch.equal(graphs(doubled, x, x)[0], 3 * x)
        assert made.rows == [4, 4] * (number >= PATIENCE)


def test_a_graph_of_some_rows_more_is_used() -> None:
    made = Maker()
    graphs = Graphs("cpu", made)
    for _ in range(PATIENCE + 1):
        graphs(doubled, torch.ones(6, 2), torch.ones(1, 2))
    x = torch.randn(4, 2)
    assert torch.equal(graphs(doubled, x, torch.full((1, 2), 3.0))[0], 2 * x + 3)
    assert torch.equal(graphs(doubled, x[:3], torch.full((1, 2), 3.0))[0], 2 * x[:3] + 3)  # twice as many are too many
    graph = next(iter(graphs._made.values()))
    assert torch.equal(graph.kept[0][:4], x)  # type: ignore[attr-defined]
    for _ in range(PATIENCE + 1):
        graphs(doubled, x, torch.ones(1, 2))
    assert made.rows == [6, 4]


def test_few_graphs_are_kept() -> None:
    made = Maker()
    graphs = Graphs("cpu", made)
    for length in (*range(MOST), 0, MOST):  # the first is used again, so that the second goes
        for _ in range(PATIENCE + 1):
            graphs(doubled, torch.ones(1, length))
    assert len(graphs._made) == MOST
    assert {shapes[0][0][0] for _, shapes in graphs._made} == {*range(MOST + 1)} - {1}  # type: ignore[index]
    graphs(doubled, torch.ones(1, 1))
    assert len(made.rows) == MOST + 1  # the one that is gone has to prove itself again


def test_without_a_graph_work_goes_on() -> None:
    def fails(work: Work, inputs: tuple[Tensor | None, ...]) -> Work:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    graphs = Graphs("cpu", fails)
    x = torch.ones(2, 3)
    for _ in range(PATIENCE):
        graphs(doubled, x)
    with pytest.warns(UserWarning, match="goes on without a CUDA graph"):
        assert torch.equal(graphs(doubled, x)[0], 2 * x)
    assert torch.equal(graphs(doubled, x)[0], 2 * x)


def model_of(process: str, **options: Any) -> DiffusionModel:
    """All weights other than zero."""
    torch.manual_seed(0)
    model = DiffusionModel.of(DiTConfig(32, 3, 2, **options), build(ForwardProcess, process, vocabulary=VOCABULARY), 20)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("extra", [0, 2], ids=["full", "padded"])
@pytest.mark.parametrize(
    "process", ["absorbing", "uniform", "autoregressive", {"name": "block", "block_size": 4}], ids=str
)
def test_a_text_is_the_same(process: Any, extra: int) -> None:
    model, made = model_of(process), Maker()
    sampler = build(Sampler, {"steps": 30, "accept": "left_to_right" if process == "autoregressive" else "random"})
    canvas = canvas_from(FROZEN, [1, 2, 3], extra)
    expected = sampler.sample(model.denoise, model.process, canvas)
    assert isinstance(model.backbone, DiT)
    model.backbone.graphs = Graphs("cpu", made)
    for _ in range(2):
        found = sampler.sample(model.denoise, model.process, canvas)
        assert torch.equal(found.ids, expected.ids) and torch.equal(found.nfe, expected.nfe)
        torch.testing.assert_close(found.log_p, expected.log_p)
    assert 0 < len(made.rows) < found.nfe.max()


def test_graphs_are_for_use_alone() -> None:
    """Not for training, where gradients are wanted, under autocast or on another device."""
    model, made = model_of("absorbing"), Maker()
    canvas, times = canvas_from(FROZEN, [1, 2, 3]), torch.ones(3)

    def call() -> None:
        for _ in range(PATIENCE + 2):
            model.denoise(canvas.ids, times, canvas, canvas.free)

    backbone = model.backbone
    assert isinstance(backbone, DiT)
    backbone.graphs = Graphs("cpu", made)
    call()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        call()
    with torch.no_grad():
        model.train()
        call()
        model.eval()
        backbone.graphs.device = "cuda"
        call()
        assert not made.rows
        backbone.graphs.device = "cpu"
        call()
    assert made.rows == [3]
    model.to(torch.float64)
    assert not backbone.graphs._made  # a graph would read the weights where they were


def test_loading_with_graphs_is_no_matter_on_a_cpu() -> None:
    plain, with_graphs = (textdiff.load("default", "cpu", graphs=graphs) for graphs in (False, True))
    assert isinstance(with_graphs.model.backbone, DiT) and with_graphs.model.backbone.graphs is not None
    one, other = (infiller.generate("Once", max_new_tokens=4, steps=4) for infiller in (plain, with_graphs))
    assert one.samples == other.samples


def test_masks_know_what_they_were_told() -> None:
    row, column = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 3])
    mask = mask_at(row, column, (2, 4))
    assert mask.tolist() == [[False, False, True, False], [True, False, False, True]]
    assert known_places(mask.clone()) is None and places_of(mask) is known_places(mask)
    assert places_of(mask).tolist() == places_of(mask.clone()).tolist() == [2, 4, 7]
    assert is_full(all_true(mask)) and not is_full(none_true(mask)) and not is_full(mask)
    assert all_true(mask).all() and not none_true(mask).any()
    assert known_empty(none_true(mask)) and not known_empty(torch.zeros(2, 4).bool())
