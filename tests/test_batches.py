"""Batches come the same whoever makes them, and whoever makes them cannot end a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from test_training import SMALL, assert_same, job, weights

from textdiff.data import TrainingLoader
from textdiff.errors import ConfigError, ResourceError
from textdiff.text.canvas import Canvas
from textdiff.training import batches as worker_batches
from textdiff.training import train
from textdiff.training.batches import batches, workers_for

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def canvas(number: int) -> Canvas:
    ids = torch.full((1, 2), number)
    return Canvas(ids, ids > 0, ids > 0, torch.tensor([os.getpid()]))


@pytest.mark.parametrize("workers", [0, 2])
def test_they_come_in_order_from_whoever_makes_them(workers: int) -> None:
    made = list(batches(canvas, range(3, 12), workers, pin=False))
    assert [int(each.ids[0, 0]) for each in made] == list(range(3, 12))
    makers = {int(each.seeds) for each in made}
    assert makers == {os.getpid()} if workers == 0 else len(makers) == 2 and os.getpid() not in makers


def test_workers_change_nothing_of_what_is_learned(tmp_path: Path) -> None:
    plain, worked = job(tmp_path / "a"), job(tmp_path / "b", replace(SMALL, dataloader_num_workers=2))
    train(plain)
    train(worked)
    assert_same(weights(plain), weights(worked))


def test_c4_an_interrupt_leaves_workers_at_work() -> None:
    """A terminal sends it to all processes."""
    before = psutil.Process().children()
    made = batches(canvas, range(40), 2, pin=False)
    next(made)
    workers = [child for child in psutil.Process().children() if child not in before]
    assert len(workers) == 2
    for worker in workers:
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
    assert len(list(made)) == 39


def test_c4_an_interrupt_leaves_workers_that_have_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = worker_batches._leave_signals_to_the_parent

    def interrupted_first(worker: int) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        ready(worker)

    monkeypatch.setattr(worker_batches, "_leave_signals_to_the_parent", interrupted_first)
    assert len(list(batches(canvas, range(6), 2, pin=False))) == 6
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_t3_a_worker_that_is_killed_is_said(tmp_path: Path) -> None:
    """In a process of its own: torch raises the news of it from a signal handler, wherever the main thread stands."""
    lines = (
        "import sys, psutil; from pathlib import Path; from dataclasses import replace",
        "from test_training import SMALL, job",
        "from textdiff.errors import ResourceError",
        "from textdiff.training import train",
        "made = job(Path(sys.argv[1]), replace(SMALL, dataloader_num_workers=1, max_steps=100_000, save_steps=100_000))",
        "def kill(_, __, steps=[]):",
        "    steps.append(1)",
        "    if len(steps) == 3:",
        "        [child.kill() for child in psutil.Process().children()]",
        "made.model.backbone.register_forward_pre_hook(kill)",
        "try:",
        "    train(made)",
        "except ResourceError as error:",
        "    print(error)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(tmp_path)],
        capture_output=True, text=True, timeout=100, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert "was killed" in done.stdout and "make training.dataloader_num_workers smaller" in done.stdout, done.stderr


def test_t3_half_a_batch_of_a_worker_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the parent sees when it reads from one that has just died."""
    monkeypatch.setattr(worker_batches, "_NEWS", 0)

    def fail(_: int) -> Canvas:
        raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(ResourceError, match="was killed, perhaps because memory ran out"):
        list(batches(fail, range(1), 0, pin=False))


def test_an_error_of_what_makes_batches_is_not_hidden() -> None:
    def fail(_: int) -> Canvas:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(batches(fail, range(1), 0, pin=False))


@pytest.mark.parametrize(
    ("wanted", "device", "processes", "expected"),
    [
        ("auto", CPU, 1, 0),
        ("auto", GPU, 1, 7),
        ("auto", GPU, 4, 1),
        ("auto", GPU, 64, 0),
        (3, CPU, 1, 3),
        (0, GPU, 1, 0),
    ],
)
def test_there_are_as_many_as_the_machine_can_spare(
    monkeypatch: pytest.MonkeyPatch, wanted: int, device: torch.device, processes: int, expected: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert workers_for(wanted, device, processes) == expected  # type: ignore[arg-type]


def test_a_system_without_fork_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    assert workers_for("auto", GPU, 1) == 0
    with pytest.raises(ConfigError, match="dataloader_num_workers must be 0"):
        workers_for(2, GPU, 1)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="dataloader_num_workers must not be negative, got -1"):
        replace(SMALL, dataloader_num_workers=-1)


def test_a_loader_can_be_asked_by_several(tmp_path: Path) -> None:
    made = job(tmp_path)
    assert isinstance(made.loader, TrainingLoader)
    here = made.loader.batch(8, 4)
    there = list(batches(lambda number: made.loader.batch(4 * number, 4), range(4), 2, pin=False))[2]
    assert torch.equal(here.ids, there.ids) and torch.equal(here.seeds, there.seeds)
