"""`per_device_train_batch_size: auto`: as many samples at once as fit, and the same global batch whatever that is."""

from __future__ import annotations

import functools
import json
import math
import mmap
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rank import Plan, limit, make
from test_scale_out import EXACT, assert_close, several
from test_training import SMALL, assert_same, job, weights

from textdiff.backbones import DiTConfig
from textdiff.errors import ConfigError, ResourceError
from textdiff.model import DiffusionModel
from textdiff.training import TrainingConfig, state_folders, train
from textdiff.training.agreeing import largest, smallest
from textdiff.training.fitting import rows_that_fit
from textdiff.training.memory import Gauge, HostGauge, gauge_for, left_in_container

AUTO: dict[str, Any] = {**EXACT, "per_device_train_batch_size": "auto", "global_batch_size": 12}
MIB = 1 << 20


class Limited(HostGauge):
    """A machine with so much memory beyond what is in use at first."""

    def __init__(self, room: int) -> None:
        self.most = self.in_use() + room

    def limit(self) -> int:
        return self.most


def allocate(count: int) -> None:
    """Takes so many bytes, really, and gives them back."""
    # From the system: a heap that other tests have left large would have room without growing.
    torch.frombuffer(mmap.mmap(-1, count), dtype=torch.uint8).fill_(1)


def test_the_peak_of_the_host_is_seen_after_it_is_over() -> None:
    gauge = gauge_for(torch.device("cpu"))
    before = gauge.in_use()
    small, large, again = (gauge.peak_of(functools.partial(allocate, n * MIB)) - before for n in (64, 256, 64))
    assert 56 * MIB < small < 112 * MIB
    assert 248 * MIB < large < 320 * MIB
    assert 56 * MIB < again < 112 * MIB, "the mark is set back"
    assert gauge.in_use() - before < 32 * MIB
    assert gauge.in_use() < gauge.limit() < gauge.in_use() + 2**50


def test_all_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = HostGauge()
    alone = gauge.limit() - gauge.in_use()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert gauge.limit() - gauge.in_use() == pytest.approx(alone / 4, rel=0.1)


@pytest.mark.parametrize(("room", "expected"), [(80, 1), (300, 4), (600, 8), (8000, 16)])
def test_the_largest_number_that_fits_is_found_without_trying_what_does_not(room: int, expected: int) -> None:
    """A sample takes 64 MiB, which malloc never serves from memory that was freed before, and 4 MiB are taken once."""
    tried, kept = [], []

    def trial(rows: int) -> None:
        kept[:] = [torch.full((4 * MIB,), 1, dtype=torch.uint8)]
        tried.append(rows)
        allocate(rows * 64 * MIB)

    assert rows_that_fit(trial, 16, Limited(room * MIB), bool) == expected
    assert max(tried) == expected


class Unbounded(Gauge):
    """Memory whose end is an error."""

    def in_use(self) -> int:
        return 0

    def limit(self) -> int:
        return 1 << 60

    def peak_of(self, work: Any) -> int:
        work()
        return 0


@pytest.mark.parametrize(("capacity", "most", "expected"), [(5, 64, 4), (64, 64, 64), (9, 5, 8), (1, 64, 1)])
def test_where_the_end_of_memory_is_an_error_it_is_an_answer(capacity: int, most: int, expected: int) -> None:
    def trial(rows: int) -> None:
        if rows > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert rows_that_fit(trial, most, Unbounded(), bool) == expected
    with pytest.raises(ResourceError, match="not enough memory for a single sample"):
        rows_that_fit(lambda rows: trial(rows + capacity), most, Unbounded(), bool)
    with pytest.raises(RuntimeError, match="shapes differ"):
        rows_that_fit(lambda rows: (_ for _ in ()).throw(RuntimeError("shapes differ")), most, Unbounded(), bool)


def test_the_answer_of_one_process_holds_for_all() -> None:
    """Another process has no room for more than two."""
    tried: list[int] = []
    assert rows_that_fit(tried.append, 64, Unbounded(), lambda here: here or tried[-1] > 2) == 2


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_the_search_leaves_no_trace(tmp_path: Path, optim: str) -> None:
    """Weights, dropout and the optimizer are as if it had not been; so the run equals one that is told the number."""
    plan = {**AUTO, "optim": optim, "global_batch_size": 8}
    found = make(tmp_path / "a", Plan(plan, 0.3))
    told = make(tmp_path / "b", Plan({**plan, "per_device_train_batch_size": 8}, 0.3))
    assert (train(found).rows, train(told).rows) == (8, 0)
    assert_same(weights(found), weights(told))


@pytest.mark.parametrize("most", [1, 3, 8, 100])
def test_the_global_batch_does_not_depend_on_what_fits(tmp_path: Path, most: int, capsys: Any) -> None:
    made, seen = make(tmp_path / "auto", Plan({**AUTO, "max_steps": 3})), []
    made.model.backbone.register_forward_pre_hook(limit(most, seen))
    done = train(made)
    expected = {1: 1, 3: 2, 8: 8, 100: 12}[most]
    assert done.rows == expected
    assert f"12 samples a step, {expected} at once" in capsys.readouterr().err
    assert sum(seen[-math.ceil(12 / expected) :]) == 12, "the last step"
    whole = make(tmp_path / "whole", Plan({**EXACT, "max_steps": 3, "per_device_train_batch_size": 12}))
    train(whole)
    assert_close(weights(whole), weights(made))
    start = json.loads((tmp_path / "auto" / "log.jsonl").read_text().splitlines()[0])
    assert (start["samples"], start["rows"], start["processes"]) == (12, expected, 1)


def test_two_processes_take_what_fits_in_both(tmp_path: Path) -> None:
    ended = several(tmp_path / "two", Plan(AUTO, most={"0": 5, "1": 2}))
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "12 samples a step, 2 at once in each of 2 processes" in ended.stderr
    assert "are split" not in ended.stderr
    seen = json.loads((tmp_path / "two" / "seen-1.json").read_text())
    assert seen == [1, 1, 2, 4, *[2, 2, 2] * 6]


def test_a_run_whose_batch_was_split_goes_on_with_the_parts(tmp_path: Path) -> None:
    """A number was given, and did not fit: it would not fit now either, and other parts would round otherwise."""
    plan = {"lr_scheduler_type": "constant", "per_device_train_batch_size": 8}
    whole, rest = (make(tmp_path / name, Plan(plan)) for name in ("a", "b"))
    first = make(tmp_path / "b", Plan({**plan, "max_steps": 3}))
    for small in (whole, first):
        small.model.backbone.register_forward_pre_hook(limit(4, []))
    train(whole)
    assert train(first).rows == 4
    assert train(rest, state_folders(tmp_path / "b")[-1]).rows == 4
    assert_same(weights(whole), weights(rest))


def test_a_run_that_goes_on_takes_no_more_than_before(tmp_path: Path) -> None:
    """Other parts of a batch would round otherwise: the last bits of the weights would be others."""
    plan = {**AUTO, "lr_scheduler_type": "constant"}
    whole, rest = (make(tmp_path / name, Plan(plan)) for name in ("a", "b"))
    first = make(tmp_path / "b", Plan({**plan, "max_steps": 3}))
    for small in (whole, first):
        small.model.backbone.register_forward_pre_hook(limit(4, []))
    train(whole)
    train(first)
    assert train(rest, state_folders(tmp_path / "b")[-1]).rows == 4
    assert_same(weights(whole), weights(rest))


def test_a_forward_pass_on_a_cpu_has_an_end(tmp_path: Path) -> None:
    """More rows would fit, but would be of no use."""
    made = make(tmp_path, Plan({**AUTO, "global_batch_size": 4096, "max_steps": 1}))
    assert made.loader.batch(0, 1).shape[1] == 16
    assert train(made).rows == 2048 * torch.get_num_threads() // 16


def test_processes_tell_the_largest_and_the_smallest_of_their_numbers() -> None:
    """This process has 5; of the others one has 3 and one 8."""

    def gather(own: torch.Tensor) -> torch.Tensor:
        return torch.cat([own, own * 3 // 5, own * 8 // 5])

    three = SimpleNamespace(num_processes=3, device=torch.device("cpu"), gather=gather)
    assert (largest(three, 5), smallest(three, 5)) == (8, 3)  # type: ignore[arg-type]


def test_the_nearest_wall_of_a_container_counts(tmp_path: Path) -> None:
    """Every group above a process can limit it: its own may say nothing, or more than the one around it."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    inner = root / "pod" / "box"
    inner.mkdir(parents=True)
    own.write_text("0::/pod/box\n")
    assert left_in_container(root, own) == sys.maxsize

    def limit_of(folder: Path, most: str, taken: int, cache: int) -> None:
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")

    limit_of(inner, "max", 100, 0)
    limit_of(root / "pod", "1000", 700, 200)
    assert left_in_container(root, own) == 500
    limit_of(inner, "400", 100, 0)
    assert left_in_container(root, own) == 300
    assert left_in_container(root, tmp_path / "nowhere") == sys.maxsize


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per_device_train_batch_size": "auto"}, "auto needs global_batch_size, the samples of a whole step"),
        ({"global_batch_size": 8, "gradient_accumulation_steps": 2}, "give either global_batch_size or gradient_acc"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1, got 0"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(TrainingConfig(), **changes)


def test_a_batch_is_shared_equally_or_not_at_all() -> None:
    config = TrainingConfig(per_device_train_batch_size=4, global_batch_size=12)
    assert [config.samples_per_step(n) for n in (1, 2, 3, 12)] == [12] * 4
    with pytest.raises(ConfigError, match="global_batch_size is 12, which 5 processes cannot share equally"):
        config.samples_per_step(5)
    assert TrainingConfig(per_device_train_batch_size=4, gradient_accumulation_steps=3).samples_per_step(2) == 24


@pytest.mark.slow
def test_a_real_step_stays_within_the_limit(tmp_path: Path) -> None:
    """A network of some size: what the search allows takes no more than there is."""
    torch.manual_seed(0)
    made = job(tmp_path, replace(SMALL, **{**AUTO, "global_batch_size": 4096, "max_steps": 1}))
    backbone = DiTConfig(hidden_size=256, num_hidden_layers=6, num_attention_heads=4)
    made = replace(made, model=DiffusionModel.of(backbone, made.model.process, 16))
    room = HostGauge().in_use() + 250 * MIB
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostGauge, "limit", lambda _: room)
        rows = train(made).rows
    assert 1 < rows < 2048 // 16
    told = replace(made, config=replace(made.config, per_device_train_batch_size=rows))
    assert HostGauge().peak_of(lambda: train(told)) < room
