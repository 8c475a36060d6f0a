"""Whatever ends a run, it goes on as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import rmtree as _rmtree
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file as _save_file
from test_training import SMALL, assert_same, job, weights
from torch import Tensor

from textdiff.errors import PreemptedError, ResourceError
from textdiff.files import clean_stale, verify_folder
from textdiff.text.canvas import Canvas
from textdiff.training import TrainingConfig, TrainingJob, state_folders, train
from textdiff.training.stopping import StopRequests

CONFIG = replace(SMALL, max_steps=8, save_steps=2)


class Hooked:
    """A loader that does something before a batch is made."""

    def __init__(self, inner: object, action: Callable[[int], None]) -> None:
        self.inner, self.action, self.calls = inner, action, 0

    def batch(self, first: int, rows: int) -> Canvas:
        self.calls += 1
        self.action(self.calls)
        return self.inner.batch(first, rows)  # type: ignore[attr-defined, no-any-return]


def hooked(output: Path, action: Callable[[int], None], config: TrainingConfig = CONFIG) -> TrainingJob:
    made = job(output, config)
    return replace(made, loader=Hooked(made.loader, action))  # type: ignore[arg-type]


def signalling(at: int, number: int) -> Callable[[int], None]:
    return lambda call: os.kill(os.getpid(), number) if call == at else None


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    made = job(tmp_path_factory.mktemp("whole"), CONFIG)
    train(made)
    return weights(made)


def newest(output: Path) -> Path | None:
    states = [folder for folder in state_folders(output) if not verify_folder(folder)]
    return states[-1] if states else None


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGTERM, PreemptedError), (signal.SIGINT, KeyboardInterrupt)], ids=["c3", "c4"]
)
def test_c3_c4_a_run_that_is_asked_to_stop_saves_first(
    tmp_path: Path, uninterrupted: dict[str, Tensor], number: int, error: type[BaseException]
) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(error, match=r"after step 3; the same command goes on from .*step-00000003"):
        train(hooked(tmp_path, signalling(3, number)))
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
    rest = job(tmp_path, CONFIG)
    train(rest, newest(tmp_path))
    assert_same(weights(rest), uninterrupted)
    assert PreemptedError.exit_code == 75


def test_c3_a_second_sigterm_changes_nothing(tmp_path: Path) -> None:
    def twice(call: int) -> None:
        if call == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PreemptedError):
        train(hooked(tmp_path, twice))
    assert newest(tmp_path) == tmp_path / "state" / "step-00000003"


def test_c3_sigterm_while_a_state_is_saved(tmp_path: Path) -> None:
    made = job(tmp_path, CONFIG)

    def loud(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with patch("textdiff.files.folders.sync", loud), pytest.raises(PreemptedError, match="after step 2"):
        train(made)
    assert newest(tmp_path) == tmp_path / "state" / "step-00000002"


def test_c4_a_second_interrupt_ends_at_once_and_the_last_state_is_whole(tmp_path: Path) -> None:
    def twice(call: int) -> None:
        if call == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised:
        train(hooked(tmp_path, twice))
    assert str(raised.value) == ""
    assert newest(tmp_path) == tmp_path / "state" / "step-00000002"


def test_an_interrupt_that_the_parent_process_ignores_is_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequests() as requests:
            signal.raise_signal(signal.SIGINT)
            assert requests.received == 0
            signal.raise_signal(signal.SIGTERM)
            assert requests.received == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_a_thread_leaves_signals_alone(tmp_path: Path) -> None:
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(train(job(tmp_path, CONFIG)).step))
    thread.start()
    thread.join(120)
    assert ended == [8]


def killed(made: TrainingJob, moment: int) -> int:
    """Trains in a child that dies at the given write, rename or batch; returns how many there were, or 0 if it ended."""
    child = os.fork()
    if child == 0:
        left = moment

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def wrapped(*args: object, **options: object) -> object:
                count()
                return function(*args, **options)

            return wrapped

        code = 1
        try:
            clean_stale(made.output / "state")
            with (
                patch("os.fsync", counted(os.fsync)),
                patch("os.rename", counted(os.rename)),
                patch("os.open", counted(os.open)),
                patch("pathlib.Path.rename", counted(Path.rename)),
                patch("pathlib.Path.chmod", counted(Path.chmod)),
                patch("pathlib.Path.mkdir", counted(Path.mkdir)),
                patch("textdiff.training.state.save_file", counted(_save_file)),
                patch("textdiff.training.state.shutil.rmtree", counted(_rmtree)),
            ):
                train(replace(made, loader=Hooked(made.loader, count)), newest(made.output))  # type: ignore[arg-type]
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_c1_killed_at_20_random_moments_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    """At batches, before writes and between renames; each time it goes on from the newest intact state."""
    config = replace(CONFIG, max_steps=40, save_steps=1)
    whole, made = job(tmp_path / "whole", replace(config, save_steps=40)), job(tmp_path / "killed", config)
    train(whole)
    chance = random.Random(5)
    for _ in range(20):
        assert killed(made, chance.randint(20, 90)) == 9
    rest = job(tmp_path / "killed", config)
    clean_stale(rest.output / "state")
    newest_step = newest(rest.output)
    assert newest_step is not None and 0 < int(newest_step.name[-8:]) < 40
    train(rest, newest_step)
    assert_same(weights(rest), weights(whole))
    assert not list((rest.output / "state").glob(".*"))


def test_c1_no_point_of_a_save_loses_the_last_good_state(tmp_path: Path) -> None:
    """Every write, sync and rename of the second save of a run, one after the other."""
    config = replace(CONFIG, max_steps=2, save_steps=1, save_total_limit=1)
    points = 0
    while True:
        output = tmp_path / str(points)
        train(job(output, replace(config, max_steps=1)))
        code = killed(job(output, config), points + 1)
        if code == 0:
            break
        assert code == 9
        assert newest(output) is not None, f"killed at point {points + 1}"
        points += 1
    assert points >= 30


class Forgetful:
    """An objective that wants more memory for more than `most` rows."""

    def __init__(self, inner: object, most: int, error: Exception) -> None:
        self.inner, self.most, self.error, self.seen = inner, most, error, [0]

    def __call__(self, reader: object, process: object, canvas: Canvas, level: Tensor, draws: object) -> object:
        self.seen.append(len(canvas.ids))
        if len(canvas.ids) > self.most:
            raise self.error
        return self.inner(reader, process, canvas, level, draws)  # type: ignore[operator]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a primitive"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
    ],
    ids=["MemoryError", "OutOfMemoryError", "cpu", "onednn", "cuda", "cublas"],
)
def test_t3_a_batch_that_is_too_large_is_split(tmp_path: Path, error: Exception) -> None:
    config = replace(SMALL, optim="adamw", adam_epsilon=1e-2)
    whole, split = job(tmp_path / "a", config), job(tmp_path / "b", config)
    objective = Forgetful(split.objective, 3, error)
    train(whole)
    train(replace(split, objective=objective))  # type: ignore[arg-type]
    assert {8, 4, 2} <= set(objective.seen)
    for (name, a), b in zip(weights(whole).items(), weights(split).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_t3_an_attempt_that_failed_leaves_no_trace_in_what_is_random(tmp_path: Path) -> None:
    """Its forward pass drew dropout masks before memory ran out."""
    split, small = job(tmp_path / "a", SMALL, 0.3), job(tmp_path / "b", replace(SMALL, max_steps=1), 0.3)
    small = replace(small, config=replace(small.config, per_device_train_batch_size=4, gradient_accumulation_steps=2))
    split = replace(split, config=replace(split.config, max_steps=1))

    def late(_: object, inputs: tuple[Tensor, ...], __: object) -> None:
        if len(inputs[0]) > 4:
            raise torch.OutOfMemoryError("CUDA")

    split.model.backbone.register_forward_hook(late)
    train(split)
    train(small)
    assert_same(weights(split), weights(small))


def test_t3_a_single_sample_that_is_too_large_ends_the_run(tmp_path: Path) -> None:
    made = job(tmp_path)
    objective = Forgetful(made.objective, 0, MemoryError())
    with pytest.raises(ResourceError, match="not enough memory for a batch of 1; make the batch, the context or"):
        train(replace(made, objective=objective))  # type: ignore[arg-type]
    other = Forgetful(made.objective, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(replace(made, objective=other))  # type: ignore[arg-type]
