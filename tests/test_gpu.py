"""The same on a GPU as on a CPU: steps, states, draws, fills, commands.

Deselected by default. `pytest -m gpu tests/test_gpu.py` on a machine with CUDA; see tests/gpu.py for one without.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import chains
import pytest
import scipy.stats
import torch
from fakes import from_table
from gpu import DEVICE, MISSING, ON_GPU, counted_waits, exact_products, from_cpu
from oracles import VOCABULARY
from test_sampling_chain import ERROR_RATE, LANGUAGE, ROWS, chain, process_of, wild
from test_training import SMALL, job
from tiny import TEXT, senseless_checkpoint, tiny_checkpoint
from torch import Tensor

import textdiff
from textdiff.backbones import DiTConfig
from textdiff.backbones.layers import kernels_of_layers, rms_norm, rotary_table, rotate
from textdiff.data import PackedCorpus, TrainingLoader, WholeTask
from textdiff.draws import Draws, categorical
from textdiff.errors import CheckpointError
from textdiff.infiller import Infiller
from textdiff.model import DiffusionModel
from textdiff.objectives import CrossEntropyObjective, NelboObjective, Objective, stratified
from textdiff.objectives.rows import cross_entropy, kernel_of_cross_entropy
from textdiff.processes import ForwardProcess
from textdiff.registry import build
from textdiff.sampling import Sampler, preset, preset_names
from textdiff.sampling.accept import FirstHittingAccept, TopKAccept
from textdiff.sampling.grids import FirstHittingGrid
from textdiff.sampling.renoise import RemdmCapRenoise
from textdiff.sampling.transitions import PosteriorTransition
from textdiff.text.canvas import Canvas
from textdiff.training import TrainingConfig, train
from textdiff.training.optimizers import make_optimizers
from textdiff.training.step import TrainingStep
from textdiff.vocabulary import Vocabulary

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]
ROOT = Path(__file__).resolve().parent.parent
WIDE = Vocabulary(size=3_001, special_ids=(0, 1), mask_id=1, pad_id=0, filler_id=2)
PROCESSES = ["absorbing", "uniform", "hybrid"]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with exact_products():
        yield


def model_of(process: str, device: str) -> DiffusionModel:
    """The same weights on any device, none of them zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        noise = build(ForwardProcess, process, vocabulary=WIDE)
        model = DiffusionModel.of(DiTConfig(64, 3, 4), noise, 32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.to(device)


def canvas_on(device: str, rows: int = 6, length: int = 32) -> Canvas:
    """Random text with given positions and padding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, WIDE.size, (rows, length), generator=generator)
    frozen = torch.rand(rows, length, generator=generator) < 0.2
    valid = torch.arange(length) < torch.randint(length // 2, length + 1, (rows, 1), generator=generator)
    return Canvas(ids, frozen | ~valid, valid, torch.arange(rows) + 5).to(device)


def one_step(process: str, objective: Objective, device: str, bf16: bool = False) -> tuple[float, dict[str, Tensor]]:
    """The loss per token, and the gradients on the CPU."""
    model, canvas = model_of(process, device), canvas_on(device)
    level = stratified(Draws.seeded(3, device), 0, len(canvas.ids), len(canvas.ids))
    report = TrainingStep(model, objective, bf16)(canvas, level)
    (report.loss / report.tokens).backward()
    grads = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
    return float(report.loss / report.tokens), grads


@pytest.mark.parametrize("objective", [NelboObjective(), CrossEntropyObjective()], ids=["nelbo", "cross_entropy"])
@pytest.mark.parametrize("process", PROCESSES)
def test_a_training_step_is_that_of_the_cpu(process: str, objective: Objective) -> None:
    """The same corruption, loss and gradients: the noise does not depend on the device."""
    expected, theirs = one_step(process, objective, "cpu")
    found, ours = one_step(process, objective, DEVICE)
    assert found == pytest.approx(expected, rel=1e-4)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name, gradient in theirs.items():
        off = (ours[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert float(off) < 1e-3, name


@pytest.mark.parametrize("process", PROCESSES)
def test_in_bfloat16_the_loss_is_near(process: str) -> None:
    expected, theirs = one_step(process, NelboObjective(), DEVICE)
    found, ours = one_step(process, NelboObjective(), DEVICE, bf16=True)
    assert found == pytest.approx(expected, rel=0.02)
    norms = [torch.stack([g.norm() for g in grads.values()]).norm() for grads in (ours, theirs)]
    assert float(norms[0] / norms[1]) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_steps_of_the_optimizer_are_those_of_the_cpu(optim: str) -> None:
    """Five steps on one batch: the loss falls, along the same curve."""
    curves = []
    for device in ("cpu", DEVICE):
        model, canvas = model_of("absorbing", device).train(), canvas_on(device)
        step = TrainingStep(model, NelboObjective(), False)
        optimizers = make_optimizers(model, TrainingConfig(learning_rate=2e-3, optim=optim))
        curve = []
        for _ in range(5):
            report = step(canvas, stratified(Draws.seeded(3, device), 0, len(canvas.ids), len(canvas.ids)))
            (report.loss / report.tokens).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            curve.append(float(report.loss / report.tokens))
        curves.append(curve)
    assert curves[1] == pytest.approx(curves[0], rel=5e-3)
    assert curves[1][-1] < curves[1][0]


def trained(folder: Path, *more: str, steps: int = 6) -> bytes:
    """The weights after `textdiff train` on the device, as a process of its own; `more`: settings."""
    recipe = folder.parent / "recipe.yaml"
    (folder.parent / "text.txt").write_text(TEXT * 4)
    recipe.write_text(
        "context_length: 32\ndata: {train: text.txt, validation_share: 0.2}\n"
        "tokenizer: {kind: characters, vocab_size: 64}\n"
        "backbone: {name: dit, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, dropout: 0.1}\n"
        "training: {max_steps: 6, per_device_train_batch_size: 8, optim: muon, eval_steps: 3, save_steps: 2}\n"
    )
    command = ["train", str(recipe), "--output", str(folder), "--set", f"training.max_steps={steps}", *more]
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    return (folder / "model" / "model.safetensors").read_bytes()


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    hidden = {} if ON_GPU else {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "textdiff", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])} | hidden,  # what was brought, too
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_resuming_is_exact_to_the_bit(tmp_path: Path) -> None:
    """Stopped after four of six steps and gone on with, against a run in one go; dropout and averages included."""
    # neither rates nor averages may follow from the length of the run, which differs
    settings = ["training.lr_scheduler_type=constant", "training.ema_decay=0.9"]
    whole = trained(tmp_path / "whole", *settings)
    parts = [trained(tmp_path / "parts", *settings, steps=steps) for steps in (4, 6)]
    assert parts[0] != whole == parts[1]


@pytest.mark.parametrize("seed", [0, 1, -(2**63), 2**63 - 1])
def test_random_numbers_do_not_depend_on_the_device(seed: int) -> None:
    here, there = (
        Draws.seeded([seed, 1], device).fold(7, torch.tensor([3, 4], device=device)) for device in ("cpu", DEVICE)
    )
    assert torch.equal(there.uniform(5_000).cpu(), here.uniform(5_000))
    assert torch.equal(there.seeds().cpu(), here.seeds())


@pytest.mark.parametrize("size", [5, 64, 3_001, 50_258])
def test_categorical_draws_do_not_depend_on_the_device(size: int) -> None:
    """But for draws within rounding of a border between two ids."""
    weights = (2 * torch.randn(2_000, size, generator=torch.Generator().manual_seed(0))).exp()
    uniform = Draws.seeded(1).uniform(2_000)[0]
    here, there = categorical(weights, uniform), categorical(weights.to(DEVICE), uniform.to(DEVICE)).cpu()
    assert float((here == there).double().mean()) >= 0.999
    zeros = weights.masked_fill(torch.rand(weights.shape, generator=torch.Generator().manual_seed(2)) < 0.5, 0.0)
    zeros[:, 0] = 1.0
    drawn = categorical(zeros.to(DEVICE), uniform.to(DEVICE)).cpu()
    assert (zeros.gather(-1, drawn.unsqueeze(-1)) > 0).all()


def on_device(canvas: Canvas, sampler: Sampler, process: ForwardProcess) -> Tensor:
    return sampler.sample(from_cpu(from_table(wild, VOCABULARY)), process, canvas.to(DEVICE)).ids.cpu()


@pytest.mark.statistical
@pytest.mark.parametrize(
    "sampler",
    [
        Sampler(steps=4),
        Sampler(steps=3, accept=TopKAccept()),
        Sampler(steps=4, renoise=RemdmCapRenoise(cap=0.4)),
        Sampler(steps=4, transition=PosteriorTransition()),
    ],
    ids=["ancestral", "top_k", "remdm", "posterior"],
)
def test_draws_follow_the_law_and_are_those_of_the_cpu(sampler: Sampler) -> None:
    process = process_of("absorbing")
    kernels = {
        "ancestral": lambda s, t: chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, 0.0),
        "top_k": lambda s, t: chains.ranked(VOCABULARY, wild(t), round(2 * s), chains.confidence),
        "remdm": lambda s, t: chains.remdm(VOCABULARY, wild(t), 1 - s, 1 - t, min(0.4, s / (1 - t)) if t < 1 else 0.4),
        "posterior": lambda s, t: chains.posterior(process, wild(t), s, t),
    }
    if isinstance(sampler.transition, PosteriorTransition):
        name = "posterior"
    elif isinstance(sampler.accept, TopKAccept):
        name = "top_k"
    else:
        name = "ancestral" if sampler.renoise.final else "remdm"
    expected = chain(process, sampler.steps, kernels[name])
    ids = torch.zeros(ROWS, 2, dtype=torch.long)
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, nothing, ~nothing, torch.arange(ROWS))
    drawn = on_device(canvas, sampler, process)
    counts = torch.bincount(LANGUAGE.index(drawn), minlength=16).double()
    assert scipy.stats.chisquare(counts, expected * ROWS).pvalue > ERROR_RATE
    here = sampler.sample(from_table(wild, VOCABULARY), process, canvas).ids
    assert float((here == drawn).all(-1).double().mean()) > 0.999


_FOR_ANY_NOISE = (
    "analytic",
    "d3pm",
    "diffusion_gemma",
    "duo",
    "euler",
    "gibbs",
    "posterior",
    "psi",
    "rdm",
    "tau_leaping",
)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_writes_on_the_device(name: str, process: str) -> None:
    """With our own network: writable ids at free positions, nothing else changed, no call wasted."""
    model, canvas = model_of(process, DEVICE).eval(), canvas_on(DEVICE)
    if process != "absorbing" and name not in _FOR_ANY_NOISE:
        pytest.skip("this preset is for absorbing noise")
    samples = preset(name).sample(model.denoise, model.process, canvas)
    assert samples.ids.device == canvas.ids.device
    assert torch.equal(samples.ids[~canvas.free], canvas.ids[~canvas.free])
    assert WIDE.writable(DEVICE)[samples.ids[canvas.free]].all()
    assert bool((samples.nfe > 0).all()) and bool(samples.log_p.isfinite().all())


def infillers(process: str) -> list[Infiller]:
    """The same model on the CPU and on the device."""
    made = []
    for device in ("cpu", DEVICE):
        checkpoint = senseless_checkpoint(process)
        model = checkpoint.model.to(device)
        made.append(Infiller(model, checkpoint.tokenizer, checkpoint.samplers, "tiny"))
    return made


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
@pytest.mark.parametrize(
    "document",
    [
        "The old [MASK: 2 tokens] by the [MASK].",
        "It was [MASK: house|river|garden], on [MASK: /[0-9]{2}/], [MASK: 1-3 words; must: rain].",
        "The rain " + "fell on the garden " * 40 + "[MASK: 3 tokens] and [MASK: 1 sentence]",
    ],
    ids=["lengths", "constraints", "windows"],
)
def test_a_greedy_fill_is_that_of_the_cpu(process: str, document: str) -> None:
    """Every gap holds what it asks for, and the text is the same; scores agree to rounding."""
    here, there = (
        one.infill(document, seed=3, temperature=0.0, sampler="first_hitting" if process == "absorbing" else None)
        for one in infillers(process)
    )
    assert str(there.document) == str(here.document)
    assert [gap.text for gap in there.gaps] == [gap.text for gap in here.gaps]
    for ours, theirs in zip(there.gaps, here.gaps, strict=True):
        assert ours.score == pytest.approx(theirs.score, rel=1e-3, abs=1e-3)


def test_the_packaged_model_fills_on_the_device() -> None:
    letter = (ROOT / "data" / "samples" / "visit.html").read_bytes()
    here, there = (
        textdiff.load("default", device).infill(letter, seed=1, temperature=0.0) for device in ("cpu", DEVICE)
    )
    assert [gap.text for gap in there.gaps] == [gap.text for gap in here.gaps]


@pytest.mark.parametrize(
    "words",
    [
        ["infill", "LETTER", "--seed", "7", "-n", "2"],
        ["infill", "LETTER", "--trace", "trace.html"],
        ["generate", "Once", "--max-new-tokens", "8", "-n", "2"],
        ["generate", "Once", "--max-new-tokens", "8", "--sampler", "remdm", "--top-p", "0.9", "--top-k", "50"],
        ["score", "TEXT", "--worst", "3"],
        ["revise", "TEXT", "--edits", "1"],
        ["evaluate", "--data", "TEXT", "--max-windows", "2"],
        ["evaluate", "--data", "TEXT", "--metrics", "infill", "--cases", "2", "--kinds", "word,several", "--baselines"],
    ],
    ids=lambda words: "-".join(w.strip("-") for w in words[:5] if w.isalpha() or w.startswith("--")),
)
def test_every_command_runs_on_the_device(words: list[str], tmp_path: Path) -> None:
    letter, text = tmp_path / "letter.md", tmp_path / "text.txt"
    letter.write_bytes((ROOT / "data" / "samples" / "letter.md").read_bytes())
    text.write_text((ROOT / "data" / "corpus" / "garden.txt").read_text(encoding="utf8")[:3_000], encoding="utf8")
    places = {"LETTER": str(letter), "TEXT": str(text), "trace.html": str(tmp_path / "trace.html")}
    done = cli(*(places.get(word, word) for word in words), "--device", DEVICE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
def test_layers_can_be_compiled(process: str) -> None:
    """The compiled network gives the same loss and gradients, of any number of scored positions."""
    results: list[list[tuple[float, dict[str, Tensor]]]] = [[], []]
    for found, compiled in zip(results, (False, True), strict=True):
        model, canvas = model_of(process, DEVICE).train(), canvas_on(DEVICE)
        if compiled:
            model.backbone.compile_layers()
        for seed in (3, 4, 5):
            model.zero_grad(set_to_none=True)
            level = stratified(Draws.seeded(seed, DEVICE), 0, len(canvas.ids), len(canvas.ids))
            report = TrainingStep(model, NelboObjective(), False)(canvas, level)
            report.loss.backward()
            grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            found.append((float(report.loss.detach()), grads))
    for (expected, theirs), (loss, ours) in zip(*results, strict=True):
        assert loss == pytest.approx(expected, rel=1e-4) and ours.keys() == theirs.keys()
        for name, gradient in theirs.items():
            off = (ours[name] - gradient).norm() / gradient.norm().clamp(min=1e-6)
            assert float(off) < 1e-3, name


@pytest.mark.skipif(not ON_GPU, reason="only a GPU has this kernel")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_in_one_kernel_is_that_in_passes(dtype: torch.dtype) -> None:
    """With a real vocabulary, rows that lie apart, ids without probability, and scores that would overflow."""
    kernel = kernel_of_cross_entropy()
    assert kernel is not None
    scores = (5 * torch.randn(300, 50_304, device=DEVICE)).to(dtype)[:, :50_258]
    scores[:, 0], scores[7], scores[8, 9] = -torch.inf, -3e3, 1e4
    target, weight = torch.randint(1, 50_258, (300,), device=DEVICE), 100 * torch.rand(300, device=DEVICE)
    expected = cross_entropy(scores.clone(), target, weight, True)
    surprise, slope = kernel(scores, target, weight, True)
    assert slope is not None and expected[1] is not None and slope.data_ptr() == scores.data_ptr()
    torch.testing.assert_close(surprise, expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slope, expected[1].to(dtype), rtol=1e-4 if dtype == torch.float32 else 2e-2, atol=1e-6)


@pytest.mark.skipif(not ON_GPU, reason="only a GPU is waited for")
@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_step_of_training_waits_a_few_times(
    optim: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """To count what is scored, to see that all is valid, and for loss and norm: told with the places, and bounded."""
    found: list[Counter[str]] = []
    for steps in (3, 11):
        config = replace(SMALL, optim=optim, max_steps=steps, save_steps=100, logging_steps=100, bf16=True)
        with counted_waits() as places:
            train(job(tmp_path / str(steps), config))
        found.append(Counter(places))
    waits = {place: count / 8 for place, count in (found[1] - found[0]).items()}
    record_property("host_waits_per_step", json.dumps(waits))
    print(f"host waits per step of training, {optim}: {waits}")
    assert 0 < sum(waits.values()) <= 6, waits


@pytest.mark.skipif(not ON_GPU, reason="only a GPU is waited for")
def test_waits_for_the_gpu_do_not_grow_with_the_batch(record_property: pytest.FixtureRequest) -> None:
    """How often the host waits in a step of sampling is reported; it must not depend on how many rows there are."""
    model, waits = model_of("absorbing", DEVICE).eval(), {}
    for rows in (2, 64):
        canvas, rounds = canvas_on(DEVICE, rows), []
        sampler = preset("ancestral")
        sampler.sample(model.denoise, model.process, canvas)  # tables that are kept are made by now
        with counted_waits() as places:
            sampler.sample(model.denoise, model.process, canvas, on_step=rounds.append)
        waits[rows] = len(places) / len(rounds)
    record_property("host_waits_per_step", json.dumps(waits))
    print(f"host waits per step, by rows: {waits}")
    assert 0 < waits[64] <= waits[2] * 1.5 + 2


def test_training_memory_is_bounded_by_chunks() -> None:
    """The scores of all rows are never all alive: a step takes less than they would."""
    if not ON_GPU:
        pytest.skip("only a GPU tells how much its tensors took at most")
    vocabulary = Vocabulary(size=50_258, special_ids=(0,), mask_id=0, pad_id=0)
    model = DiffusionModel.of(DiTConfig(64, 2, 2), build(ForwardProcess, "absorbing", vocabulary=vocabulary), 256).to(
        DEVICE
    )
    ids = torch.randint(1, 50_258, (64, 256), device=DEVICE)
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    canvas = Canvas(ids, nothing, ~nothing, torch.arange(64, device=DEVICE))
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    report = TrainingStep(model, NelboObjective(), False)(canvas, torch.full((64,), 0.999, device=DEVICE).double())
    report.loss.backward()
    scores = ids.numel() * 50_258 * 4
    assert torch.cuda.max_memory_allocated() - before < scores / 4


def test_a_loader_feeds_the_device() -> None:
    """Batches are made on the CPU and corrupted on the device."""
    tokenizer = tiny_checkpoint().tokenizer
    ids = torch.tensor(tokenizer.encode(TEXT * 8)).numpy().astype("int32")
    loader = TrainingLoader(PackedCorpus(ids, 32, 0), tokenizer.vocabulary, (WholeTask(),), 0.0, None)
    canvas = loader.batch(0, 4).to(DEVICE)
    assert canvas.ids.device.type == torch.device(DEVICE).type
    assert torch.equal(canvas.ids.cpu(), loader.batch(0, 4).ids)


def test_first_hitting_makes_one_call_a_token() -> None:
    model, canvas = model_of("absorbing", DEVICE).eval(), canvas_on(DEVICE)
    samples = Sampler(grid=FirstHittingGrid(), accept=FirstHittingAccept()).sample(model.denoise, model.process, canvas)
    assert torch.equal(samples.nfe, canvas.free.sum(-1))


def with_graphs(process: str) -> DiffusionModel:
    model = model_of(process, DEVICE).eval()
    model.backbone.use_graphs()
    return model


@pytest.mark.parametrize("process", PROCESSES)
def test_layers_in_a_graph_say_what_they_say_without(process: str) -> None:
    """Of each shape often enough that a graph is made and used, with other tokens each time; also for some rows fewer."""
    plain, ours = model_of(process, DEVICE).eval(), with_graphs(process)
    canvas = canvas_on(DEVICE)
    for number, rows in enumerate((6, 6, 6, 6, 5, 6, 4, 3, 3, 3, 3)):
        some = canvas.rows(torch.arange(rows, device=DEVICE))
        x_t = (some.ids * (number + 1)) % WIDE.size
        times = torch.full((rows,), 0.3 + number / 20, dtype=torch.float64, device=DEVICE)
        with torch.no_grad():
            expected, found = (model.denoise(x_t, times, some, some.free) for model in (plain, ours))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert not ON_GPU or len(ours.backbone.graphs._made) == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["ancestral", "confidence", "remdm"])
def test_a_text_by_graphs_is_that_without(name: str) -> None:
    """But for draws within rounding of a border between two ids."""
    canvas, written = canvas_on(DEVICE, 8), []
    for model in (model_of("absorbing", DEVICE).eval(), with_graphs("absorbing")):
        sampler = dataclasses.replace(preset(name), steps=60)
        samples = [sampler.sample(model.denoise, model.process, canvas) for _ in range(2)]
        assert torch.equal(samples[0].nfe, samples[1].nfe)
        written.append(samples[1].ids)
    assert float((written[0] == written[1]).all(-1).double().mean()) >= 0.75


@pytest.mark.skipif(not ON_GPU, reason="only a GPU is waited for")
def test_nothing_waits_between_network_calls(record_property: pytest.FixtureRequest) -> None:
    """Where all steps are planned ahead the host waits at the start and at the end, and not in between."""
    model = with_graphs("absorbing")
    canvas = canvas_on(DEVICE, 3, length=256)
    waits = {}
    for steps in (100, 1_000):
        sampler = Sampler(steps=steps)
        for _ in range(4):  # tables and graphs are made by now
            sampler.sample(model.denoise, model.process, canvas)
        with counted_waits() as places:
            samples = sampler.sample(model.denoise, model.process, canvas)
        waits[steps], calls = sorted(set(places)), int(samples.nfe.max())
        print(f"{steps} steps: {len(places)} waits in {calls} calls, at {waits[steps]}")
        assert len(places) < calls / 2
    record_property("waits_of_a_planned_run", json.dumps(waits))


@pytest.mark.skipif(not ON_GPU, reason="on a CPU each step is checked at once")
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_damaged_logits_are_found_on_the_device(value: float) -> None:
    model, calls = model_of("absorbing", DEVICE).eval(), []

    def broken(x_t: Tensor, t: Tensor, canvas: Canvas, where: Tensor) -> Tensor:
        calls.append(None)
        logits = model.denoise(x_t, t, canvas, where)
        return logits.masked_fill(torch.ones_like(logits[:, :1], dtype=torch.bool), value) if len(calls) % 7 else logits

    with pytest.raises(CheckpointError, match="not finite"):
        Sampler(steps=9).sample(broken, model.process, canvas_on(DEVICE))
    torch.cuda.synchronize()


@pytest.mark.skipif(not ON_GPU, reason="kernels are for a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_of_layers_give_what_torch_gives(dtype: torch.dtype) -> None:
    """Of heads whose number and width are powers of two, and of others; for places in order and not."""
    kernels = kernels_of_layers()
    assert kernels is not None, "Triton does not work here"
    off = 1e-5 if dtype == torch.float32 else 3e-2
    for rows, length, heads, size in ((2, 5, 3, 10), (1, 7, 4, 12), (3, 33, 12, 64), (2, 9, 16, 128)):
        qkv = torch.randn(rows, length, 3 * heads * size, device=DEVICE).to(dtype)
        both, _ = qkv.unflatten(-1, (3, heads, -1)).split((2, 1), dim=-3)
        gains = tuple((1 + torch.randn(size, device=DEVICE) / 4).to(dtype) for _ in range(2))
        in_order = rotary_table(length, size, both.device, dtype)
        places = torch.randint(0, length, (rows, length), device=DEVICE)
        for table in (in_order, tuple(part[places] for part in in_order)):
            expected = rotate(rms_norm(both.double(), torch.stack(gains).double().unsqueeze(1)), table)
            found = kernels.turned(both, gains, table, 1e-6)  # type: ignore[arg-type]
            assert found is not None and found.dtype == dtype
            torch.testing.assert_close(found.double(), expected, rtol=off, atol=off)
        value, gate = qkv.double()[..., : 2 * heads * size].chunk(2, dim=-1)
        found = kernels.gated(qkv[..., : 2 * heads * size])
        torch.testing.assert_close(found.double(), value * torch.nn.functional.silu(gate), rtol=off, atol=off)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_network_in_use_says_what_it_says_in_training(process: str) -> None:
    """Kernels that know no gradient are for use alone."""
    model, canvas = model_of(process, DEVICE).eval(), canvas_on(DEVICE)
    times = torch.full((len(canvas.ids),), 0.4, dtype=torch.float64, device=DEVICE)
    expected = model.denoise(canvas.ids, times, canvas, canvas.free).detach()
    with torch.no_grad():
        found = model.denoise(canvas.ids, times, canvas, canvas.free)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
