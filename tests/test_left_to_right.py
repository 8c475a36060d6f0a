"""The left-to-right twin: the same network made causal, trained by the same loop to the exact next-token cross-entropy."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from test_backbones import SMALL
from test_cli_train import RECIPE
from test_learning import SMALL as QUICKLY
from test_learning import learn, source
from test_pretrained import VOCABULARY as FOREIGN
from test_pretrained import random_network
from test_scripts import script
from tiny import TEXT, run
from torch import Tensor

from textdiff.backbones import DiT, PretrainedBackboneConfig
from textdiff.draws import Draws
from textdiff.errors import ConfigError
from textdiff.infiller import Checkpoint
from textdiff.model import DiffusionModel
from textdiff.objectives import CrossEntropyObjective, NelboObjective, Objective
from textdiff.processes import AutoregressiveProcess
from textdiff.text.canvas import Canvas
from textdiff.training.log import RunLog
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=13, special_ids=(0, 1), mask_id=1, pad_id=0)
LENGTH = 9
SETTINGS = [
    SMALL,
    dataclasses.replace(SMALL, time_embedding="sinusoidal"),
    dataclasses.replace(SMALL, tie_word_embeddings=False, given_embedding=False),
]


def twin(config: object = SMALL, seed: int = 0) -> DiffusionModel:
    """A causal model with weights unlike those it starts from."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DiffusionModel.of(config, AutoregressiveProcess(VOCABULARY), LENGTH).eval()  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def batch(rows: int = 3, seed: int = 1) -> Canvas:
    """Rows with given positions and, in the last one, padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY.size, (rows, LENGTH), generator=generator)
    frozen = torch.rand(rows, LENGTH, generator=generator) < 0.2
    valid = torch.ones_like(frozen)
    valid[-1, -3:] = False
    return Canvas(ids, frozen | ~valid, valid, torch.arange(rows))


def logits(model: DiffusionModel, canvas: Canvas) -> Tensor:
    """[B, L, V], of all positions."""
    t = torch.zeros(len(canvas.ids), dtype=torch.float64)
    return model.denoise(canvas.ids, t, canvas, torch.ones_like(canvas.valid)).view(*canvas.shape, -1)


@pytest.mark.parametrize("config", SETTINGS, ids=repr)
@torch.no_grad()
def test_a_position_knows_those_before_it_and_nothing_else(config: object) -> None:
    model, canvas = twin(config), batch()
    before = logits(model, canvas)
    for place in range(LENGTH):
        changed = canvas.ids.clone()
        changed[:, place] = 2 + (canvas.ids[:, place] - 1) % (VOCABULARY.size - 2)
        after = logits(model, canvas.with_ids(changed))
        torch.testing.assert_close(after[:, : place + 1], before[:, : place + 1])
        if place + 1 < LENGTH:  # the next one sees it
            assert float((after - before)[:2, place + 1, 2:].abs().max()) > 1e-3


@torch.no_grad()
def test_documents_of_a_row_are_as_they_are_alone() -> None:
    model, canvas = twin(), batch(2)
    whole = dataclasses.replace(canvas, valid=torch.ones_like(canvas.valid))
    numbers = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 1, 2, 2, 2, 2, 2, 2]])
    apart = logits(model, dataclasses.replace(whole, documents=numbers))
    for row, number in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)):
        here = numbers[row] == number
        alone = Canvas(
            *(tensor[row : row + 1, here] for tensor in (whole.ids, whole.frozen, whole.valid)), torch.zeros(1)
        )
        torch.testing.assert_close(apart[row, here], logits(model, alone)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("objective", [CrossEntropyObjective(), NelboObjective()], ids=["cross_entropy", "nelbo"])
@pytest.mark.parametrize("prediction", ["leave_one_out", "posterior"])
def test_the_loss_and_its_gradient_are_those_of_the_next_token(objective: Objective, prediction: str) -> None:
    """Computed directly: log-softmax over the writable ids, at every free position."""
    model, canvas = twin(), batch()
    model.config.prediction = prediction
    found = []
    level = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    report = objective(model.read, model.process, canvas, level, Draws.seeded(canvas.seeds))
    report.loss.backward()
    found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    model.zero_grad()
    log_p = logits(model, canvas)[..., 2:].log_softmax(-1)
    direct = -log_p.gather(-1, (canvas.ids - 2).clamp(min=0).unsqueeze(-1)).squeeze(-1)[canvas.free].sum()
    direct.backward()
    found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert float(report.loss.detach()) == pytest.approx(float(direct.detach()), rel=1e-5)
    assert float(report.nelbo_nats) == pytest.approx(float(direct.detach()), rel=1e-5)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
    assert int(report.tokens) == int(canvas.free.sum())


def test_text_is_erased_from_its_end() -> None:
    process, rows = AutoregressiveProcess(VOCABULARY), 4000
    x_0 = torch.full((rows, 5), 7)
    t = torch.full((rows,), 0.33, dtype=torch.float64)
    x_t = process.sample(x_0, t, Draws.seeded(torch.arange(rows)))
    kept = x_t == 7
    assert bool((kept[:, 1:] <= kept[:, :-1]).all())
    assert float(kept.double().mean()) == pytest.approx(0.67, abs=0.01)
    for time, stands in ((0.0, 7), (1.0, VOCABULARY.mask_id)):
        ends = process.sample(x_0, torch.full_like(t, time), Draws.seeded(torch.arange(rows)))
        assert bool((ends == stands).all())


def test_a_network_that_reads_in_both_directions_is_refused(tmp_path: Path) -> None:
    random_network("bert").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="reads in both directions, and the process needs one that reads from left"):
        DiffusionModel.of(PretrainedBackboneConfig(str(tmp_path)), AutoregressiveProcess(FOREIGN), 16)


def test_it_is_the_same_network_with_as_many_weights() -> None:
    model = twin()
    assert isinstance(model.backbone, DiT)
    assert model.backbone.config == SMALL.resolved(False)
    twins = [DiT(SMALL.resolved(False), VOCABULARY.size, causal) for causal in (False, True)]
    assert len({sum(p.numel() for p in network.parameters()) for network in twins}) == 1


def test_a_run_that_was_interrupted_ends_with_the_same_model(tmp_path: Path) -> None:
    """By the command line, with the recipe that trains a diffusion model and one key changed."""
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = ["train", tmp_path / "recipe.yaml", "--set", "process.name=autoregressive", "--output"]
    assert run(*command, tmp_path / "whole").code == 0
    step = RunLog.step

    def interrupt(log: RunLog, number: int, news: str | None = None) -> None:
        step(log, number, news)
        if number == 3:
            signal.raise_signal(signal.SIGINT)

    with patch.object(RunLog, "step", interrupt):
        assert run(*command, tmp_path / "parts").code == 130
    assert run(*command, tmp_path / "parts").code == 0
    models = [Checkpoint.load(tmp_path / name / "model").model for name in ("whole", "parts")]
    card = (tmp_path / "whole" / "model" / "README.md").read_text()
    assert "Likelihoods are exact, not bounds." in card and "from left to right" in card
    assert "| exact_nll |" in card and "likelihood:exact" in card and "textdiff infill" not in card
    assert [model.process.left_to_right for model in models] == [True, True]
    ids = torch.randint(2, 20, (1, 12), generator=torch.Generator().manual_seed(0))
    every = torch.ones_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, ~every, every, torch.zeros(1, dtype=torch.long))
    whole, parts = (logits(model, canvas) for model in models)
    assert torch.equal(whole, parts)
    assert float(whole[0, :, 2:].isfinite().double().mean()) > 0.5


def test_it_reaches_the_entropy_of_a_two_state_chain(tmp_path: Path) -> None:
    rate = source(tmp_path / "text.txt", "--length", "100000")
    options = ("process.name=autoregressive", "tasks=[whole]", "training.max_steps=100")
    scores = learn(tmp_path, f"data.train={tmp_path / 'text.txt'}", *options, *QUICKLY)
    assert -0.02 < scores["exact_nll"] - rate < 0.03


def test_the_bench_trains_all_three_by_one_recipe(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 4)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    arguments = [str(tmp_path / "recipe.yaml"), str(tmp_path / "runs"), "--set", "training.max_steps=2"]
    done = script("bench_twin.py", *arguments)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.splitlines()[2:]]
    assert [row[0] for row in rows] == ["absorbing", "uniform", "autoregressive"]
    assert [row[4] for row in rows] == ["at most", "at most", "exact"]
    assert rows[0][1] == rows[2][1] and len({row[5] for row in rows}) == 1
    for row in rows:
        low, high = map(float, row[3].split(" to "))
        assert 0 < low <= float(row[2]) <= high < 10
    recipes = [(tmp_path / "runs" / row[0] / "recipe.yaml").read_text() for row in rows]
    assert len({text.replace(row[0], "PROCESS") for text, row in zip(recipes, rows, strict=True)}) == 1
