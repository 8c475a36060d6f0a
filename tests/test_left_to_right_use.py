"""What a left-to-right model is good for: exact likelihoods, and text written from the left; filling gaps it refuses."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from oracles import ToyLanguage, canvas_of
from scipy import stats
from tiny import TEXT, Ended, run, senseless_checkpoint
from torch import Tensor

from textdiff.backbones import DiTConfig
from textdiff.infiller import DefaultSamplers
from textdiff.metrics import estimate_nelbo
from textdiff.model import DiffusionModel
from textdiff.objectives import position_nats, spread_levels
from textdiff.processes import AbsorbingProcess, AutoregressiveProcess
from textdiff.sampling import preset
from textdiff.sampling.warps import TemperatureWarp
from textdiff.text.canvas import Canvas
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=5, special_ids=(0, 1), mask_id=1, pad_id=0)
EVERY = torch.tensor(list(itertools.product((2, 3, 4), repeat=4)))


@pytest.fixture(scope="module")
def toy() -> DiffusionModel:
    """A random causal network over three writable ids."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
        model = DiffusionModel.of(network, AutoregressiveProcess(VOCABULARY), 4).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "twin"
    senseless_checkpoint("autoregressive").save(place)
    return place


def log_p(model: DiffusionModel, ids: Tensor) -> Tensor:
    """Float64 [B], by the chain rule: every token asked for alone, with nothing but masks from it on."""
    total = torch.zeros(len(ids), dtype=torch.float64)
    for place in range(ids.shape[1]):
        x_t = ids.clone()
        x_t[:, place:] = VOCABULARY.mask_id  # type: ignore[assignment]
        where = torch.zeros_like(ids, dtype=torch.bool)
        where[:, place] = True
        with torch.no_grad():
            logits = model.denoise(x_t, torch.ones(len(ids)), canvas_of(ids), where)
        total += logits.double().log_softmax(-1).gather(-1, ids[:, place, None]).squeeze(-1)
    return total


def test_the_likelihood_is_exact_and_sums_to_one(toy: DiffusionModel) -> None:
    canvas = canvas_of(EVERY)
    nats = position_nats(toy.denoise, toy.process, canvas, spread_levels(0, len(EVERY), 3, 0), 0).sum(-1)
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(-nats, log_p(toy, EVERY), rtol=1e-5, atol=1e-5)
    found = estimate_nelbo(toy.denoise, toy.process, [canvas], repeats=5, seed=3)
    assert found.exact and found.nats == pytest.approx(float(nats.sum()))
    assert found.standard_error == pytest.approx(float(nats.std()) / 4 / len(EVERY) ** 0.5)


def test_an_oracle_reaches_the_entropy() -> None:
    """The conditional laws of a toy language: -log p of each of its texts, to rounding."""
    language = ToyLanguage.random(length=3, seed=2)
    ids = language.sample(50, seed=1)

    def oracle(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        rows = []
        for row, place in where.nonzero().tolist():
            same = (language.sequences[:, :place] == x_t[row, :place]).all(-1)
            law = torch.zeros(language.vocabulary.size, dtype=torch.float64)
            law.index_add_(0, language.sequences[same, place], language.probabilities[same])
            rows.append(law.log())
        return torch.stack(rows)

    found = estimate_nelbo(oracle, AutoregressiveProcess(language.vocabulary), [canvas_of(ids)])
    truth = -float(language.probabilities[language.index(ids)].log().sum())
    assert found.nats == pytest.approx(truth, rel=1e-5)


@pytest.mark.statistical
def test_what_is_written_has_the_law_of_the_model(toy: DiffusionModel) -> None:
    """All 81 sequences, by chi-square at 1e-3; every token costs one network call."""
    rows = 8000
    canvas = canvas_of(torch.zeros(rows, 4, dtype=torch.long))
    written = preset("left_to_right").sample(toy.denoise, toy.process, canvas)
    index = (written.ids[:, None] == EVERY).all(-1).long().argmax(-1)
    counts = torch.bincount(index, minlength=len(EVERY)).double()
    expected = log_p(toy, EVERY).exp() * rows
    often = expected > 5
    parts = [torch.cat((x[often], x[~often].sum()[None])) for x in (counts, expected)]
    statistic = float(((parts[0] - parts[1]) ** 2 / parts[1]).sum())
    assert stats.chi2.sf(statistic, len(parts[0]) - 1) > 1e-3
    assert written.nfe.tolist() == [4] * rows and written.steps == 4
    torch.testing.assert_close(written.log_p.sum(-1), log_p(toy, written.ids), rtol=1e-4, atol=1e-4)


def test_the_order_is_from_the_left_after_what_is_given(toy: DiffusionModel) -> None:
    ids, frozen = torch.full((2, 4), 3), torch.zeros(2, 4, dtype=torch.bool)
    frozen[0, :2] = True
    seen: list[list[list[bool]]] = []
    preset("left_to_right").sample(
        toy.denoise, toy.process, canvas_of(ids, frozen), on_step=lambda event: seen.append(event.noisy.tolist())
    )
    assert [row[0] for row in seen] == [[False, False, False, True], *[[False] * 4] * 3]
    assert [row[1] for row in seen] == [[place > step for place in range(4)] for step in range(4)]


def test_samplers_that_a_recipe_names_leave_their_warps() -> None:
    asked = DefaultSamplers(preset("confidence"), preset("ancestral"))
    process = AutoregressiveProcess(VOCABULARY)
    assert DefaultSamplers.of(process, asked) == DefaultSamplers.of(process)
    assert DefaultSamplers.of(AbsorbingProcess(VOCABULARY), asked) == asked
    warm = replace(asked, generate=replace(asked.generate, warps=(TemperatureWarp(0.8),)))
    assert DefaultSamplers.of(process, warm).generate == replace(preset("left_to_right"), warps=(TemperatureWarp(0.8),))


def test_evaluate_says_that_it_is_exact(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    found = [
        json.loads(run("evaluate", "-m", folder, "--data", tmp_path / "text.txt", "--json", "--repeats", n).text)[
            "scores"
        ]
        for n in (1, 4)
    ]
    names = [score["name"] for score in found[0]]
    assert names[:4] == ["exact_nll", "bits_per_byte", "perplexity_per_token", "perplexity_per_word"]
    assert all("process:autoregressive|likelihood:exact" in score["signature"] for score in found[0])
    assert [s["value"] for s in found[0]] == [s["value"] for s in found[1]]
    assert found[0][0]["standard_error"] > 0


def test_generate_writes_and_knows_one_order(folder: Path) -> None:
    ended = run("generate", "The old", "-m", folder, "--max-new-tokens", 9, "-n", 2, "--top-k", 5, "--json")
    assert ended.code == 0
    made = json.loads(ended.text)
    assert [sample["text"][:7] for sample in made["samples"]] == ["The old"] * 2
    assert made["stats"]["nfe"] == 9
    assert run("generate", "-m", folder, "--sampler", "left_to_right", "--max-new-tokens", 3).code == 0
    refused = run("generate", "-m", folder, "--sampler", "confidence")
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, b"", 1)
    assert "writes one token after the other, from the left: leave the sampler out" in refused.err


@pytest.mark.parametrize(
    "command", [("infill", "-"), ("score", "-"), ("revise", "-", "--edits", "1")], ids=lambda c: c[0]
)
def test_what_needs_both_sides_is_refused_in_a_sentence(folder: Path, command: tuple[str, ...]) -> None:
    ended = run(*command, "-m", folder, stdin=b"The old [MASK] stood." if command[0] == "infill" else b"The old house.")
    assert_refused(ended)


def test_so_is_the_infilling_benchmark(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    options = ("--metrics", "infill", "--cases", 2, "--kinds", "word")
    assert_refused(run("evaluate", "-m", folder, "--data", tmp_path / "text.txt", *options))


def assert_refused(ended: Ended) -> None:
    assert (ended.code, ended.out) == (2, b"")
    assert len(ended.err.splitlines()) == 1
    assert "reads from left to right and knows nothing of the text behind a gap" in ended.err


def test_info_says_what_it_is(folder: Path) -> None:
    shown = run("info", folder)
    assert "from left to right: cannot fill gaps" in shown.text and "autoregressive" in shown.text
    assert json.loads(run("info", folder, "--json").text)["left_to_right"] is True
