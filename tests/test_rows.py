"""Losses whose scores are never all alive have the gradients of those that are."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest.mock import patch

import pytest
import torch
from oracles import ToyLanguage, canvas_of
from torch import Tensor

from textdiff.denoiser import Readout
from textdiff.draws import Draws
from textdiff.objectives import CrossEntropyObjective, LossReport, NelboObjective, Objective, estimator_for
from textdiff.objectives import rows as rows_module
from textdiff.processes import AbsorbingProcess, ForwardProcess, HybridProcess, UniformProcess

LANGUAGE = ToyLanguage.random(length=3, seed=4)
PROCESSES = [make(LANGUAGE.vocabulary) for make in (AbsorbingProcess, UniformProcess, HybridProcess)]
OBJECTIVES = [NelboObjective(), CrossEntropyObjective()]
ROWS, WIDTH = 40, 5


class Layer:
    """A network that is an embedding and an output layer."""

    def __init__(self, dtype: torch.dtype = torch.float32, posterior: ForwardProcess | None = None) -> None:
        generator = torch.Generator().manual_seed(1)
        size = LANGUAGE.vocabulary.size
        self.embedding = torch.randn(ROWS, 3, WIDTH, generator=generator).to(dtype).requires_grad_()
        self.weight = torch.randn(size, WIDTH, generator=generator).to(dtype).requires_grad_()
        self.bias = torch.randn(size, generator=generator).to(dtype).requires_grad_()
        self.posterior = posterior

    def read(self, x_t: Tensor, t: Tensor, canvas: object, where: Tensor) -> Readout:
        forbidden = (~LANGUAGE.vocabulary.writable()).nonzero()[:, 0]
        process, times = self.posterior, t.unsqueeze(-1).expand(x_t.shape)[where]

        def convert(logits: Tensor, rows: slice) -> Tensor:
            assert process is not None
            return process.to_leave_one_out(logits, x_t[where][rows], times[rows])

        hidden = self.embedding[where]
        return Readout(hidden, self.weight, self.bias, forbidden, None if process is None else convert)

    def grads(self) -> list[Tensor | None]:
        return [tensor.grad for tensor in (self.embedding, self.weight, self.bias)]


def run(layer: Layer, process: ForwardProcess, objective: Objective) -> LossReport:
    canvas = canvas_of(LANGUAGE.sample(ROWS, seed=3))
    level = torch.linspace(0.1, 0.9, ROWS, dtype=torch.float64)
    return objective(layer.read, process, canvas, level, Draws.seeded(canvas.seeds))


def expected(layer: Layer, process: ForwardProcess, objective: Objective) -> tuple[Tensor, Tensor]:
    """Loss and nats from all scores at once, by autograd."""
    canvas = canvas_of(LANGUAGE.sample(ROWS, seed=3))
    level = torch.linspace(0.1, 0.9, ROWS, dtype=torch.float64)
    estimator = estimator_for(process).for_training
    found = estimator.corrupt(canvas, level, Draws.seeded(canvas.seeds))
    log_p = layer.read(found.x_t, found.t, canvas, found.where).logits().log_softmax(-1)
    nats = estimator.nats(canvas, found, log_p)
    return objective.loss(process, canvas, found, log_p, nats).sum(), nats.sum()


@pytest.mark.parametrize("chunk", [1 << 25, 1], ids=["one chunk", "many"])
@pytest.mark.parametrize("posterior", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_loss_and_gradients_are_those_of_autograd(
    process: ForwardProcess, objective: Objective, posterior: bool, chunk: int
) -> None:
    ours, theirs = (Layer(posterior=process if posterior else None) for _ in range(2))
    with patch.object(rows_module, "_CHUNK", chunk), patch.object(rows_module, "_LEAST", 7):
        report = run(ours, process, objective)
    loss, nats = expected(theirs, process, objective)
    torch.testing.assert_close(report.loss.double(), loss.double(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(report.nelbo_nats, nats.double(), rtol=1e-5, atol=1e-5)
    (report.loss * 0.25).backward()
    (loss * 0.25).backward()
    for a, b in zip(ours.grads(), theirs.grads(), strict=True):
        assert a is not None and b is not None and float(b.abs().sum()) > 0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1 << 25, 1], ids=["one chunk", "many"])
@pytest.mark.parametrize("process", PROCESSES[:2], ids=lambda p: type(p).__name__)
def test_products_in_bfloat16_are_near(monkeypatch: pytest.MonkeyPatch, process: ForwardProcess, chunk: int) -> None:
    monkeypatch.setattr(rows_module, "_CHUNK", chunk)
    monkeypatch.setattr(rows_module, "_LEAST", 7)
    ours, theirs = Layer(), Layer()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = run(ours, process, CrossEntropyObjective())
    loss, _ = expected(theirs, process, CrossEntropyObjective())
    report.loss.backward()
    loss.backward()
    assert float(report.loss.detach()) == pytest.approx(float(loss.detach()), rel=0.02)
    for a, b in zip(ours.grads(), theirs.grads(), strict=True):
        assert a is not None and b is not None and a.dtype == torch.float32
        assert float((a - b).norm() / b.norm()) < 0.03


def test_nothing_is_made_for_a_gradient_that_nobody_wants() -> None:
    layer = Layer()
    with torch.no_grad():
        report = run(layer, PROCESSES[0], NelboObjective())
    assert float(report.loss.detach()) == pytest.approx(
        float(expected(layer, PROCESSES[0], NelboObjective())[0].detach())
    )
    assert not report.loss.requires_grad


def test_a_row_without_probability_is_infinite_and_no_crash() -> None:
    """The target among the forbidden ids: the loss says so, and the training loop skips the step."""
    cost = rows_module.CrossEntropyCost(torch.tensor([0]), torch.tensor([0]), torch.ones(1), torch.ones(1))
    loss, nats, slope = cost(torch.randn(1, 4), slice(0, 1), True)
    assert float(loss) == float(nats) == torch.inf
    assert slope is not None


def test_large_scores_do_not_overflow() -> None:
    cost = rows_module.CrossEntropyCost(torch.tensor([1, 0]), None, torch.ones(2), torch.ones(2))
    loss, _, slope = cost(torch.tensor([[1e4, 0.0], [-3e3, -3e3]]), slice(0, 2), True)
    torch.testing.assert_close(loss, torch.tensor([1e4, 0.6931472]), rtol=1e-3, atol=0)
    assert slope is not None
    torch.testing.assert_close(slope, torch.tensor([[1.0, -1.0], [-0.5, 0.5]]))


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)
def test_rows_of_scores_may_lie_apart(process: ForwardProcess) -> None:
    """As they do on a GPU in half precision: the same loss and gradients, bit for bit."""
    each = []
    for apart in (0, 3):
        layer = Layer(torch.bfloat16)
        with patch.object(rows_module, "_stride", lambda width, *_, apart=apart: width + apart):
            report = run(layer, process, NelboObjective())
        report.loss.backward()
        each.append((report.loss.detach(), *layer.grads()))
    for ours, theirs in zip(*each, strict=True):
        assert torch.equal(ours, theirs)


def test_half_precision_on_a_gpu_begins_each_row_at_sixteen_bytes() -> None:
    stride, gpu = rows_module._stride, torch.device("cuda")
    assert [stride(width, torch.bfloat16, gpu) for width in (8_192, 50_258, 3)] == [8_192, 50_304, 64]
    assert stride(50_258, torch.float32, gpu) == stride(50_258, torch.bfloat16, torch.device("cpu")) == 50_258


KERNEL = """
import torch
from textdiff.objectives import cross_entropy_kernel
from textdiff.objectives.rows import cross_entropy

for dtype, width, apart in ((torch.float32, 50, 0), (torch.bfloat16, 9_000, 24)):
    whole = (4 * torch.randn(5, width + apart, generator=torch.Generator().manual_seed(0))).to(dtype)
    scores = whole[:, :width]
    scores[:, 3], scores[1], scores[2, 7] = -torch.inf, -3e3, 300
    target, weight = torch.tensor([0, 8, 7, width - 1, 3]), torch.tensor([0.5, 1, 2, 30, 1])
    beyond, expected = whole[:, width:].clone(), cross_entropy(scores.clone(), target, weight, True)
    unread = scores.clone()
    surprise, nothing = cross_entropy_kernel.cross_entropy(scores, target, weight, False)
    assert nothing is None and torch.equal(scores, unread)
    torch.testing.assert_close(surprise, expected[0], rtol=1e-5, atol=1e-5)
    surprise, change = cross_entropy_kernel.cross_entropy(scores, target, weight, True)
    torch.testing.assert_close(surprise, expected[0], rtol=1e-5, atol=1e-5)
    assert change is scores and torch.equal(whole[:, width:], beyond)
    torch.testing.assert_close(change, expected[1].to(dtype), rtol=1e-5 if width == 50 else 1e-2, atol=1e-7)
assert cross_entropy_kernel.cross_entropy(scores[:0], target[:0], weight[:0], True)[0].shape == (0,)
"""


def test_the_kernel_of_gpus_gives_the_same() -> None:
    """Triton's interpreter runs it on a CPU, in a process of its own: it is chosen when Triton is imported."""
    pytest.importorskip("triton")
    words, environment = [sys.executable, "-W", "ignore", "-c", KERNEL], os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_step_without_rows_has_no_loss_and_no_gradient() -> None:
    layer = Layer()
    cost = rows_module.CrossEntropyCost(*[torch.zeros(0, dtype=torch.long), None, *[torch.zeros(0).double()] * 2])
    readout = Readout(layer.embedding[:0, 0], layer.weight, layer.bias)
    loss, nats = rows_module.sum_over_rows(readout, cost)
    loss.backward()
    assert float(loss.detach()) == float(nats) == 0
    assert all(grad is not None and not grad.any() for grad in layer.grads())
