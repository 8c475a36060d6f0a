"""The benches against the methods of peers: both sides must do the same work, and say how much of it."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import ToyLanguage, canvas_of

from textdiff.backbones import DiT
from textdiff.objectives import HitForm
from textdiff.processes import ForwardProcess
from textdiff.registry import build

ROOT = Path(__file__).resolve().parent.parent
Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``bench("training", "--shapes", …)`` runs that script in this process; what it starts finds textdiff too."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    threads = torch.get_num_threads()

    def run(name: str, *arguments: str) -> None:
        script = importlib.import_module(f"bench_{name}")
        monkeypatch.setattr(sys, "argv", [str(script.__file__), *arguments])
        script.main()

    yield run
    torch.set_num_threads(threads)


@pytest.fixture
def rows(bench: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Rows:
    """The rows that a bench prints."""

    def printed(name: str, *arguments: str) -> list[dict[str, Any]]:
        bench(name, *arguments, "--json")
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return printed


def test_training_is_compared_on_equal_work(rows: Rows) -> None:
    """Loss and gradients of both sides agree, or the script ends with an error; the peer scores all positions."""
    found = rows("training", "--shapes", "toy,toy-BERT", "--precisions", "fp32", "--rounds", "1")
    assert [row["peer"] for row in found] == ["mdlm", "dllm"]
    for row in found:
        assert 0 <= row["gradients_differ_by"] < 1e-5
        assert 0 < row["our_rows"] < row["peer_rows"] == 64
        assert row["ratio"] > 0 and row["our_tokens_per_second"] > 0


def test_sampling_is_compared_on_one_law(rows: Rows) -> None:
    """The peer scores every position whenever it calls the network; ours each position once, in no more calls."""
    found = rows("sampling", "--shapes", "toy", "--steps", "3,40", "--rounds", "1", "--rows", "2")
    assert [(row["steps"], row["precision"]) for row in found] == [(s, p) for s in (3, 40) for p in ("fp32", "bf16")]
    for row in found:
        assert row["our_rows"] == 32 < row["peer_rows"] == 16 * row["peer_calls"]
        assert row["our_calls"] <= row["peer_calls"]
        assert row["probabilities_differ_by"] < 1e-4
        assert min(row["peer_p_value"], row["our_p_value"]) > 1e-4
    cached = found[2]
    assert cached["peer_calls"] < 40 * 2, "with more steps than tokens the cache must save calls"


def test_memory_is_compared_in_fresh_processes(rows: Rows) -> None:
    (row,) = rows("training", "--memory", "toy")
    assert row["peer_bytes"] > 0 and row["memory_ratio"] == row["peer_bytes"] / row["our_bytes"]


@pytest.mark.parametrize(("side", "kind"), [("peer", "PeerSampler"), ("ours", "Ours")])
def test_such_a_process_does_the_work_of_its_side(
    bench: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    kind: str,
) -> None:
    import our_sampling
    import peer_sampling

    sampled = []
    for sampler in (peer_sampling.PeerSampler, our_sampling.Ours):

        def sample(self: Any, *words: Any, real: Callable[..., object] = sampler.sample) -> object:
            sampled.append((type(self).__name__, len(words[0]), words[1]))
            return real(self, *words)

        monkeypatch.setattr(sampler, "sample", sample)
    bench("sampling", "--peak", side, "--shapes", "toy")
    assert {*sampled} == {(kind, 4, 16)} and json.loads(capsys.readouterr().out) >= 0


@pytest.mark.parametrize("peer", ["duo", "llada", "llada-drawn", "gpt2", "gpt2-lean"])
def test_sampling_is_compared_with_every_peer(rows: Rows, peer: str) -> None:
    """Both sides draw from one law, or write the same tokens; text from left to right is a network of its own."""
    (row,) = rows(
        "sampling", "--peer", peer, "--shapes", "toy", "--steps", "6", "--rounds", "1", "--precisions", "bf16"
    )
    assert row["peer"] == peer.removesuffix("-drawn") and row["ratio"] > 0
    assert row["probabilities_differ_by"] < 1e-4
    theirs, ours = {"llada": (384, 72), "llada-drawn": (384, 72), "duo": (384, None)}.get(peer, (64, 64))
    assert row["peer_rows"] == theirs and (ours is None or row["our_rows"] == ours)
    if peer == "duo":
        assert row["our_rows"] < 0.8 * theirs, "what stays in any case is not asked about"
    if peer in ("duo", "llada-drawn"):
        assert min(row["peer_p_value"], row["our_p_value"]) > 1e-4
    assert row.get("same_tokens", 1) == 1


def test_each_side_is_first_in_every_other_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_timing

    done: list[tuple[str, int]] = []
    monkeypatch.setattr(bench_timing, "seconds", lambda work, number, device: work(number))

    def side(name: str, seconds: float) -> Callable[[int], float]:
        return lambda number: done.append((name, number)) or seconds * number

    found = bench_timing.alternate(side("peer", 2.0), side("ours", 1.0), 4, warm_up=1)
    assert done[2:] == [(name, n) for n in (1, 2, 3, 4) for name in (("peer", "ours") if n % 2 else ("ours", "peer"))]
    assert (found.peer, found.ours) == ([2.0, 4.0, 6.0, 8.0], [1.0, 2.0, 3.0, 4.0])
    assert found.plain["ratio"] == found.plain["lowest"] == found.plain["highest"] == 2


def test_compiled_sides_are_told(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either side may be: the peer's blocks, and our layers as `training.torch_compile` has them."""
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    monkeypatch.setattr(DiT, "compile_layers", lambda network: compiled.append("DiT"))
    options = ("--shapes", "toy", "--precisions", "fp32", "--rounds", "1")
    for words, told in (((), 0), (("--compile",), 1), (("--compile-peer",), 2), (("--compile", "--compile-peer"), 3)):
        (row,) = rows("training", *options, *words)
        assert (row["our_compiled"], row["peer_compiled"]) == (told in (1, 3), told in (2, 3))
        assert {*compiled} == {kind for kind, of in (("DiT", (1, 3)), ("PeerBlock", (2, 3))) if told in of}
        compiled.clear()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shapes", "huge"], "no shape is named 'huge'. Known: S, "),
        (["--precisions", "fp8"], "--precisions takes fp32 and bf16, got fp8"),
        (["--rounds", "0"], "must be at least 1"),
        (["--device", "cuda:99"], "torch sees no CUDA device"),
        (["--shapes", "toy-BERT", "--compile-peer"], "leave the BERT shapes out"),
    ],
)
def test_what_is_wrong_is_said(
    bench: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    if "cuda:99" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(SystemExit) as ended:
        bench("training", *arguments)
    # argparse prints and ends with 2; the interpreter prints any other text that SystemExit holds, and ends with 1
    assert said in (capsys.readouterr().err if ended.value.code == 2 else str(ended.value.code))


@pytest.mark.parametrize(("peer", "steps"), [("mdlm", 3), ("duo", 3), ("llada-drawn", 2)])
def test_the_law_check_refuses_another_law(monkeypatch: pytest.MonkeyPatch, peer: str, steps: int) -> None:
    """Samplers that settle with another probability, in another order or in fewer steps, are found out."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_laws
    import bench_matches

    match = bench_matches.MATCHES[peer]
    model = bench_laws.sharpened(match.network(bench_laws.SMALL, False, "cpu"))
    law = match.law(model, steps)
    assert float(law.sum()) == pytest.approx(1) and float(law[bench_laws.MASK].sum()) == 0
    ours, nothing = match.ours(model), torch.empty(20_000, 0, dtype=torch.long)
    assert bench_laws.p_value(ours.sample(nothing, 2, steps, 1), law) > bench_laws.ERROR_RATE
    assert bench_laws.p_value(ours.sample(nothing, 2, 1, 1), law) < bench_laws.ERROR_RATE
    assert bench_laws.p_value(torch.zeros(20, 2, dtype=torch.long), law) == 0
    with pytest.raises(SystemExit, match="what wrong draws does not follow"):
        bench_laws.require_law({"wrong": lambda seed: ours.sample(nothing, 2, 1, seed)}, law)


def test_tokens_that_differ_end_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that takes its places at random writes other tokens than the surest first."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from dataclasses import replace

    import bench_matches
    from bench_shapes import SHAPES

    wrong = replace(bench_matches.MATCHES["llada"], ours=bench_matches.Ours)
    with pytest.raises(SystemExit, match="of the tokens are the same"):
        wrong.check(SHAPES["toy"], 6, "cpu")


def test_the_source_of_the_samplers_bench_is_what_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its likelihoods and its denoiser against enumeration, for each kind of noise, with something given."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    source = importlib.import_module("oracle_source").Source.random(3, 4, seed=1, sharpness=2.0)
    law, ids = source.law(3), torch.tensor(list(itertools.product([1, 2, 3], repeat=3)))
    assert float(law.sum()) == pytest.approx(1)
    assert source.place(ids).tolist() == list(range(27))
    frequencies = torch.bincount(source.place(source.sample(20_000, 3)), minlength=27) / 20_000
    assert (frequencies - law).abs().sum() / 2 < 0.03
    language = ToyLanguage(source.vocabulary, ids, law)
    frozen = torch.tensor([[False, False, False], [False, True, False], [True, False, True]])
    t = torch.tensor([0.3, 0.7, 0.9], dtype=torch.float64)
    for name, x_t in {
        "absorbing": [[0, 2, 0], [0, 1, 3], [3, 0, 2]],
        "uniform": [[1, 2, 2], [3, 1, 3], [3, 3, 2]],
    }.items():
        process = build(ForwardProcess, name, vocabulary=source.vocabulary)
        canvas = canvas_of(torch.tensor(x_t), frozen)
        found, expected = (side.denoiser(process)(canvas.ids, t, canvas, canvas.free) for side in (source, language))
        torch.testing.assert_close(found.exp(), expected.exp(), rtol=1e-9, atol=1e-12)


def test_samplers_are_measured_against_the_truth(
    bench: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One token at a time in an order that does not look at the draws is at the floor; all at once is far from it."""
    bench(
        "samplers", "--presets", "top_probability,confidence", "--processes", "absorbing", "--rows", "3000", "--short", "4",
        "--long-rows", "3", "--long", "12", "--output", str(tmp_path)
    )  # fmt: skip
    *rows, floor = json.loads((tmp_path / "samplers.json").read_text())
    assert [(row["sampler"], row["calls"]) for row in rows] == [
        (name, calls) for name in ("top_probability", "confidence") for calls in (4, 2, 1)
    ]
    variation = {(row["sampler"], row["calls"]): row["total_variation"] for row in rows}
    assert variation["top_probability", 4] < 1.5 * floor["total_variation"] < 0.5 * variation["top_probability", 1]
    assert variation["confidence", 4] > 3 * floor["total_variation"]
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(rows) + 1


def test_block_models_are_compared_on_equal_work(rows: Rows) -> None:
    """Both read the same off the network; ours sends each token through it clean once, and its block in each step."""
    (row,) = rows("block_models", "--shapes", "toy", "--rows", "2", "--block-size", "4", "--rounds", "1")
    assert row["log_p_differ_by"] < 1e-3 and row["ratio"] > 0
    assert row["peer_positions"] == 2 * 4 * (4 + 8 + 12 + 16)
    assert row["our_positions"] == 2 * (16 * 4 + 12)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--texts", "moon"], "no 'moon' is known. Known: toy, garden, shakespeare"),
        (["--noises", "pink"], "no 'pink' is known. Known: absorbing, uniform, hybrid"),
        (["--windows", "1"], "--windows must be at least 2"),
    ],
)
def test_estimates_of_nothing_are_refused(
    bench: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit):
        bench("estimators", *arguments)
    assert said in capsys.readouterr().err


@pytest.mark.statistical
def test_estimates_vary_less_than_the_usual_ones(rows: Rows) -> None:
    """Each window is corrupted once by both; the script ends with an error where the mean is not the exact bound."""
    found = rows("estimators", "--texts", "toy", "--windows", "64", "--repetitions", "60")
    assert [(row["text"], row["noise"]) for row in found] == [
        ("toy", name) for name in ("absorbing", "uniform", "hybrid")
    ]
    for row in found:
        assert (row["windows"], row["tokens"], row["calls"]) == (64, 1024, 64)
        assert row["our_mean"] == pytest.approx(row["exact"], rel=0.03)
        assert row["usual_mean"] == pytest.approx(row["exact"], rel=0.15)
        assert row["ratio"] == pytest.approx(row["our_deviation"] / row["usual_deviation"])
        assert 0 < row["ratio_error"] < row["ratio"] < 0.6


def test_estimates_are_compared_on_the_packaged_model(rows: Rows) -> None:
    (row,) = rows("estimators", "--texts", "garden", "--windows", "2", "--repetitions", "3")
    assert (row["text"], row["noise"], row["windows"], row["exact"]) == ("garden", "absorbing", 2, None)
    assert row["our_deviation"] > 0 and 2 < row["our_mean"] < 8


def test_an_estimate_of_something_else_is_refused(bench: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that counts every row half as much again."""
    right = HitForm.weight
    monkeypatch.setattr(HitForm, "weight", lambda *which: 1.5 * right(*which))
    with pytest.raises(SystemExit, match="uniform: the mean of the estimates is"):
        bench("estimators", "--texts", "toy", "--noises", "uniform", "--windows", "32", "--repetitions", "20")


def test_precisions_fill_the_same_gaps(rows: Rows) -> None:
    text = str(ROOT / "data" / "corpus" / "garden.txt")
    (row,) = rows("precision", text, "--cases", "2", "--rounds", "1")
    assert row["gaps"] == 2 and row["ratio"] > 0 and 0 <= row["same"] <= 1


def test_a_fitted_grid_is_measured_beside_others(
    bench: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    bench("grids", "--processes", "uniform", "--sharpness", "4", "--steps", "2", "--rows", "6000")
    lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    found = {cells[2].strip(): float(cells[4]) for cells in lines}
    assert found["fitted"] < 0.9 * found["even"] < 0.9 * found["cosine"]
    assert found["the source itself"] < 0.5 * found["fitted"]
