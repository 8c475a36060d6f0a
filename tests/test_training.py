"""The training loop: resumable to the bit, the same however the batch is split, and never poisoned by a bad batch."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textdiff.backbones import DiTConfig
from textdiff.data import GapsTask, LengthsTask, PackedCorpus, TrainingLoader, WholeTask
from textdiff.errors import CheckpointError, ConfigError, NonFiniteError, ResourceError
from textdiff.files import verify_folder
from textdiff.model import DiffusionModel
from textdiff.objectives import CrossEntropyObjective
from textdiff.processes import AbsorbingProcess
from textdiff.training import Progress, TrainingConfig, TrainingJob, state_folders, train
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.vocabulary import Vocabulary

VOCABULARY = Vocabulary(size=12, special_ids=(0, 1, 2), mask_id=1, pad_id=0, filler_id=3)
SMALL = TrainingConfig(
    max_steps=6,
    per_device_train_batch_size=8,
    learning_rate=1e-2,
    warmup_steps=2,
    optim="muon",
    bf16=False,
    eval_steps=100,
    save_steps=3,
    logging_steps=1,
)


def job(output: Path, config: TrainingConfig = SMALL, dropout: float = 0.0) -> TrainingJob:
    torch.manual_seed(0)
    backbone = DiTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, dropout=dropout)
    model = DiffusionModel.of(backbone, AbsorbingProcess(VOCABULARY), 16)
    ids = np.random.default_rng(0).integers(4, 12, 2000).astype(np.int32)
    loader = TrainingLoader(
        PackedCorpus(ids, 16, seed=1), VOCABULARY, (WholeTask(), GapsTask(max_length=4), LengthsTask(max_room=4))
    )
    output.mkdir(parents=True, exist_ok=True)
    return TrainingJob(model, loader, CrossEntropyObjective(), config, output, seed=3, fingerprint={"kind": "test"})


def weights(job: TrainingJob) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in job.model.named_parameters()}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_c10_resuming_gives_the_weights_of_the_uninterrupted_run(tmp_path: Path) -> None:
    whole = job(tmp_path / "whole")
    train(whole)
    first = job(tmp_path / "parts", replace(SMALL, max_steps=3, lr_scheduler_type="constant"))
    plain = job(tmp_path / "plain", replace(SMALL, lr_scheduler_type="constant"))
    train(plain)
    train(first)
    rest = job(tmp_path / "parts", replace(SMALL, lr_scheduler_type="constant"))
    done = train(rest, state_folders(tmp_path / "parts")[-1])
    assert done.step == 6
    assert_same(weights(plain), weights(rest))
    assert any(not torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(rest).values(), strict=True))


def test_c10_dropout_is_resumed_too(tmp_path: Path) -> None:
    """Its generator is seeded by run, step and process, whatever the global one holds."""
    config = replace(SMALL, lr_scheduler_type="constant")
    whole, first = job(tmp_path / "a", config, 0.3), job(tmp_path / "b", replace(config, max_steps=3), 0.3)
    rest, plain = job(tmp_path / "b", config, 0.3), job(tmp_path / "c", config)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(whole)
    assert torch.equal(before, torch.get_rng_state())
    train(first)
    torch.manual_seed(2)
    train(rest, state_folders(tmp_path / "b")[-1])
    train(plain)
    assert_same(weights(whole), weights(rest))
    assert any(not torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(plain).values(), strict=True))


def test_t1_weights_that_are_not_finite_are_no_good_state(tmp_path: Path) -> None:
    config = replace(SMALL, learning_rate=1e38, optim="adamw", save_steps=1, warmup_steps=0, max_skipped_steps=9)
    with pytest.raises(NonFiniteError, match=r"the weights were no longer finite after step \d; "):
        train(job(tmp_path, config))
    for folder in state_folders(tmp_path):
        assert all(bool(t.isfinite().all()) for t in load_file(folder / "weights.safetensors").values())


def test_c5_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    made = job(tmp_path)
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"log\.jsonl cannot be written: no space left"):
        train(made)


def test_c5_a_log_that_cannot_be_written_need_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = job(tmp_path, replace(SMALL, save_failure="warn"))
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    assert train(made).step == 6
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("log.jsonl cannot be written: no space left on device; training goes on") == 1


@pytest.mark.parametrize("choice", ["stop", "warn"])
def test_c5_a_model_that_cannot_be_written_in_between(
    tmp_path: Path, choice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of an evaluation is worth no more than a state: the same option says what follows."""
    calls = itertools.count(1)

    def save() -> None:
        if next(calls) == 1:
            raise ResourceError("the model cannot be written: no space left on device")

    config = replace(SMALL, save_failure=choice, eval_steps=2)  # type: ignore[arg-type]
    made = replace(job(tmp_path, config), save_model=save)
    if choice == "stop":
        with pytest.raises(ResourceError, match="the model cannot be written"):
            train(made)
    else:
        assert train(made).step == 6
        assert "training goes on" in capsys.readouterr().err


@pytest.mark.parametrize("choice", ["stop", "warn"])
def test_c5_a_full_disk_costs_no_older_state(tmp_path: Path, choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(SMALL, save_failure=choice, save_steps=2)  # type: ignore[arg-type]
    made, saves = job(tmp_path, config), itertools.count(1)

    def full(tensors: object, path: Path) -> None:
        if next(saves) > 4:  # the second state
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save_file(tensors, path)  # type: ignore[arg-type]

    with patch("textdiff.training.state.save_file", full):
        if choice == "stop":
            with pytest.raises(ResourceError, match=r"step-00000004 cannot be written .*bytes are free"):
                train(made)
        else:
            assert train(made).step == 6
            said = capsys.readouterr().err
            assert "step-00000004 cannot be written" in said and "training goes on" in said
    assert [f.name for f in state_folders(tmp_path)] == ["step-00000002"]
    assert not verify_folder(state_folders(tmp_path)[0])
    assert not list((tmp_path / "state").glob(".*"))


def test_a_state_that_was_gone_back_from_does_not_cost_the_new_one(tmp_path: Path) -> None:
    """States newer than the step that was just saved are no reason to remove it."""
    config = replace(SMALL, save_steps=1, save_total_limit=3)
    train(job(tmp_path, config))
    early = state_folders(tmp_path)[0]
    assert early.name == "step-00000004"
    train(job(tmp_path, replace(config, max_steps=5, save_total_limit=1)), early)
    assert [f.name for f in state_folders(tmp_path)] == ["step-00000005", "step-00000006"]


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    first = job(tmp_path)
    train(first)
    again = job(tmp_path)
    assert train(again, state_folders(tmp_path)[-1]).step == 6
    assert_same(weights(first), weights(again))


def test_accumulated_parts_are_the_whole_batch(tmp_path: Path) -> None:
    """AdamW with a large epsilon: the sign-like updates of others blow rounding errors up."""
    config = replace(SMALL, optim="adamw", adam_epsilon=1e-2)
    whole = job(tmp_path / "a", config)
    parts = job(tmp_path / "b", replace(config, per_device_train_batch_size=2, gradient_accumulation_steps=4))
    train(whole)
    train(parts)
    for (name, a), b in zip(weights(whole).items(), weights(parts).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_the_log_has_every_step(tmp_path: Path) -> None:
    train(job(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert all(math.isfinite(line["loss"]) and line["tokens"] > 0 for line in steps)


def test_old_states_are_pruned_and_new_ones_verified(tmp_path: Path) -> None:
    train(job(tmp_path, replace(SMALL, save_steps=1, save_total_limit=2)))
    assert [f.name for f in state_folders(tmp_path)] == ["step-00000005", "step-00000006"]
    assert not list((tmp_path / "state").glob(".*"))


def test_c9_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    train(job(tmp_path))
    other = replace(job(tmp_path), fingerprint={"kind": "other"})
    with pytest.raises(ConfigError, match=r"is of another run: kind was 'test' and is 'other'"):
        train(other, state_folders(tmp_path)[-1])


def test_c7_a_damaged_state_is_refused(tmp_path: Path) -> None:
    train(job(tmp_path))
    folder = state_folders(tmp_path)[-1]
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        train(job(tmp_path), folder)


class Poisoned(nn.Module):
    """A backbone that gives NaN on some calls."""

    def __init__(self, inner: nn.Module, bad: set[int]) -> None:
        super().__init__()
        self.inner, self.bad, self.calls = inner, bad, 0

    def forward(self, *args: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(*args) * (math.nan if self.calls in self.bad else 1.0)

    def output_layer(self) -> tuple[Tensor, Tensor]:
        return self.inner.output_layer()  # type: ignore[no-any-return, operator]


def poisoned(output: Path, bad: set[int], limit: int) -> TrainingJob:
    made = job(output, replace(SMALL, max_skipped_steps=limit))
    made.model.backbone = Poisoned(made.model.backbone, bad)  # type: ignore[assignment]
    return made


def test_t1_a_step_that_is_not_finite_is_skipped(tmp_path: Path) -> None:
    made = poisoned(tmp_path, {2, 4}, limit=2)
    done = train(made)
    assert done.skipped == 2 and done.step == 6
    assert all(torch.isfinite(p).all() for p in made.model.parameters())
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events.count("skipped") == 2


def test_t1_bad_batches_are_listed_in_the_log_and_nowhere_else(tmp_path: Path) -> None:
    """However many there are, a run and its states keep their number only."""
    sizes = []
    for bad in ({2}, {1, 3, 5}):
        folder = tmp_path / str(len(bad))
        done = train(poisoned(folder, bad, limit=2))
        assert all(isinstance(value, int | float | None) for value in vars(done).values()) and done.skipped == len(bad)
        state = json.loads((state_folders(folder)[-1] / "state.json").read_text())
        sizes.append({name: len(repr(value)) for name, value in state.items() if name != "progress"})
        records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        found = {record["step"]: record["samples"] for record in records if record["event"] == "skipped"}
        assert {*found} == bad and all(last - first == 7 for first, last in found.values())
    assert sizes[0] == sizes[1]


def test_a_number_that_is_not_finite_is_null_in_the_log(tmp_path: Path) -> None:
    """JSON knows no other word for it, and a reader of another language would stop there."""
    train(poisoned(tmp_path, {2}, limit=2))
    found = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert any(event["loss"] is None for event in found if event["event"] == "step")


def test_processes_that_found_different_states_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On disks of their own they would train on from different steps, and wait for each other for ever."""
    monkeypatch.setattr("textdiff.training.loop.largest", lambda _, number: number + 3)
    with pytest.raises(ConfigError, match=r"from step 0 and another from step 3: .* on a disk that all of them see"):
        train(job(tmp_path))


def test_t1_too_many_in_a_row_end_the_run_and_name_the_last_good_state(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"2 steps in a row, up to step 5, .* last good state is .*step-00000003"):
        train(poisoned(tmp_path, {4, 5}, limit=2))
    assert NonFiniteError.exit_code == 7


def test_the_average_follows_the_weights() -> None:
    layer = nn.Linear(2, 1)
    average = ExponentialMovingAverage(layer)
    start = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    average.update(0.75)
    torch.testing.assert_close(average.tensors()["weight"], start + 0.25)
    with average.swapped_in():
        torch.testing.assert_close(layer.weight.detach(), start + 0.25)
    torch.testing.assert_close(layer.weight.detach(), start + 1)


@pytest.mark.parametrize("kind", ["linear", "cosine", "warmup_stable_decay"])
def test_the_learning_rate_rises_and_falls(kind: str) -> None:
    config = TrainingConfig(max_steps=100, warmup_steps=10, learning_rate=1.0, lr_scheduler_type=kind)  # type: ignore[arg-type]
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(rates) == pytest.approx(1.0) and 0 < rates[-1] < 0.06
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rates[10:]))
    if kind == "warmup_stable_decay":
        assert rates[81] == 1.0 and rates[90] == pytest.approx(10 / 90 / 0.2)


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_embeddings_and_vectors_may_have_a_rate_of_their_own(tmp_path: Path, optim: str) -> None:
    """The first step of either optimizer is as large as its rate: so it shows which one a tensor had."""

    def moved(**rates: float) -> dict[str, float]:
        config = replace(SMALL, max_steps=1, optim=optim, warmup_steps=0, ema_decay=0.0, weight_decay=0.0, **rates)
        made = job(tmp_path / f"{len(list(tmp_path.iterdir()))}", config)
        before = weights(made)
        train(made)
        return {name: float((w - before[name]).abs().max()) for name, w in weights(made).items()}

    plain, other = moved(learning_rate=1e-3), moved(learning_rate=1e-3, embedding_learning_rate=4e-3)
    for name, step in plain.items():
        matrix = name.endswith("weight") and not any(part in name for part in ("norm", "embed", "given"))
        assert other[name] == pytest.approx(step * (1 if matrix else 4), rel=1e-3), name


def test_a_run_with_two_rates_is_resumed(tmp_path: Path) -> None:
    config = replace(SMALL, embedding_learning_rate=5e-3)
    whole = job(tmp_path / "whole", config)
    train(whole)
    again = job(tmp_path / "again", config)
    train(again, min(state_folders(tmp_path / "whole"), key=lambda folder: int(folder.name.split("-")[-1])))
    assert_same(weights(whole), weights(again))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_steps", 0, "max_steps must be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be above 0"),
        ("adam_beta2", 1.0, "adam_beta2 must be at least 0 and below 1"),
        ("warmup_steps", -1, "warmup_steps must not be negative"),
    ],
)
def test_options_are_checked(key: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **{key: value})


def test_progress_counts_free_tokens(tmp_path: Path) -> None:
    made = job(tmp_path)
    done = train(made)
    expected = sum(int(made.loader.batch(step * 8, 8).free.sum()) for step in range(6))
    assert done == replace(Progress(step=6, tokens=expected), seconds=done.seconds)
    assert done.seconds > 0
