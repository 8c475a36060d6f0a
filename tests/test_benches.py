"""The benches against the methods of peers: both sides must do the same work, and say how much of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def rows(name: str, *arguments: str) -> list[dict[str, object]]:
    done = bench(name, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_training_is_compared_on_equal_work() -> None:
    """Loss and gradients of both sides agree, or the script ends with an error; the peer scores all positions."""
    found = rows("bench_training.py", "--shapes", "toy,toy-BERT", "--precisions", "fp32", "--rounds", "1")
    assert [row["peer"] for row in found] == ["mdlm", "dllm"]
    for row in found:
        assert 0 <= row["gradients_differ_by"] < 1e-5
        assert 0 < row["our_rows"] < row["peer_rows"] == 64
        assert row["ratio"] > 0 and row["our_tokens_per_second"] > 0


def test_sampling_is_compared_on_one_law() -> None:
    """The peer scores every position whenever it calls the network; ours each position once, in no more calls."""
    found = rows("bench_sampling.py", "--shapes", "toy", "--steps", "3,40", "--rounds", "1", "--rows", "2")
    assert [(row["steps"], row["precision"]) for row in found] == [(s, p) for s in (3, 40) for p in ("fp32", "bf16")]
    for row in found:
        assert row["our_rows"] == 32 < row["peer_rows"] == 16 * row["peer_calls"]
        assert row["our_calls"] <= row["peer_calls"]
        assert row["probabilities_differ_by"] < 1e-4
        assert min(row["peer_p_value"], row["our_p_value"]) > 1e-4
    cached = found[2]
    assert cached["peer_calls"] < 40 * 2, "with more steps than tokens the cache must save calls"


@pytest.mark.parametrize("name", ["bench_training.py", "bench_sampling.py"])
def test_memory_is_compared_in_fresh_processes(name: str) -> None:
    (row,) = rows(name, "--memory", "toy")
    assert row["peer_bytes"] > 0 and row["memory_ratio"] == row["peer_bytes"] / row["our_bytes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shapes", "huge"], "no shape is named 'huge'. Known: S, "),
        (["--precisions", "fp8"], "--precisions takes fp32 and bf16, got fp8"),
        (["--rounds", "0"], "must be at least 1"),
        (["--device", "cuda:99"], "torch sees no CUDA device"),
        (["--shapes", "toy-BERT", "--compile"], "leave the BERT shapes out"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str) -> None:
    if "cuda:99" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = bench("bench_training.py", *arguments)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr


def test_the_law_check_refuses_another_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samplers that settle with another probability, or draw from a warmer law, are found out."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_laws
    import bench_sampling

    model = bench_laws.sharpened(bench_sampling.network(bench_laws.SMALL, False, "cpu"))
    law = bench_laws.ancestral_law(model, 3)
    assert float(law.sum()) == pytest.approx(1) and float(law[bench_laws.MASK].sum()) == 0
    ours = bench_sampling.Ours(model)
    assert bench_laws.p_value(ours.sample(20_000, 2, 3, 1), law) > bench_laws.ERROR_RATE
    assert bench_laws.p_value(ours.sample(20_000, 2, 1, 1), law) < bench_laws.ERROR_RATE
    assert bench_laws.p_value(torch.zeros(20, 2, dtype=torch.long), law) == 0
    with pytest.raises(SystemExit, match="what wrong draws does not follow"):
        bench_laws.require_law({"wrong": lambda model, shape, steps, seed: ours.sample(20_000, 2, 1, seed)}, model)
