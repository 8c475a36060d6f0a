"""The training loop, through Accelerate."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.nn.utils import clip_grad_norm_

from textdiff.backbones.precision import has_bf16_units
from textdiff.draws import Draws
from textdiff.errors import ConfigError, NonFiniteError, ResourceError
from textdiff.objectives import stratified
from textdiff.text.canvas import Canvas
from textdiff.training.agreeing import largest, smallest, total
from textdiff.training.batches import batches, lost_worker, workers_for
from textdiff.training.best import Selection, is_over
from textdiff.training.devices import make_accelerator, processes_here
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.evaluating import Evaluation
from textdiff.training.gradient import BatchGradient, same_start
from textdiff.training.job import TrainingJob
from textdiff.training.keeping import KeptStates, last_good
from textdiff.training.log import RunLog
from textdiff.training.optimizers import make_optimizers, set_learning_rate
from textdiff.training.sharding import Sharding, fill, whole
from textdiff.training.state import Progress, RunState, saved_progress
from textdiff.training.step import TrainingStep
from textdiff.training.stopping import StopRequests, stopped
from textdiff.training.trial import rows_at_once

_LEVELS = 0x1E7E1
_DROPOUT = 0xD0


def train(job: TrainingJob, resume: Path | None = None) -> Progress:
    """Trains to the end, or goes on from a saved state.

    A run with N processes of batch B equals one with a single process of batch N * B, up to rounding: samples, noise and
    noise levels are numbered over the global batch. Dropout is the exception: its masks depend on the process and on how
    many samples are taken at once.

    Raises:
        NonFiniteError: `max_skipped_steps` steps in a row had a gradient that was not finite.
        PreemptedError: SIGTERM came; a state was written.
        KeyboardInterrupt: SIGINT came; a state was written. A second one ends the run at once.
        ResourceError: a single sample needs more memory than there is, or the disk is full.
        ConfigError: the processes would go on from different states; the network cannot do what `config` asks for.
    """
    return _Trainer(job).run(resume)


class _Trainer:
    """The parts of a running job."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        config = job.config
        self.accelerator = make_accelerator()
        self.samples = config.samples_per_step(self.accelerator.num_processes)
        sharding = Sharding.of(config.fsdp, self.accelerator)
        if config.gradient_checkpointing:
            job.model.backbone.enable_gradient_checkpointing()
        # Where weights are sharded, a copy is trained, and the job's model is given its averages whole when they are wanted.
        self.trained = job.model if sharding is None else sharding.copy(job.model)
        bf16 = has_bf16_units() if config.bf16 is None else config.bf16
        if config.torch_compile:
            self.trained.backbone.compile_layers()
        step = TrainingStep(self.trained, job.objective, bf16)
        if sharding is not None:
            sharding.spread(step)
        step.to(self.accelerator.device)
        if sharding is None and self.accelerator.num_processes > 1:
            same_start(step)
        self.step_module = step
        self.optimizers = make_optimizers(self.trained, config)
        self.average = ExponentialMovingAverage(self.trained)
        self.state = RunState(self.trained, self.average, self.optimizers, job.fingerprint or {})
        self.selection = Selection(config, self.average, self.state.best)
        self.gradient = BatchGradient(step, self.accelerator, 1, sharding is not None)
        self.levels = Draws.seeded(job.seed).fold(_LEVELS)
        self.failures = 0
        self.stop = StopRequests()
        self.kept = KeptStates(self.state, self.accelerator, job.output, config)
        self.evaluation = Evaluation(job, self.trained, self.average, self.accelerator, self.selection, self.kept)

    def run(self, resume: Path | None) -> Progress:
        try:
            return self._run(resume)
        except RuntimeError as error:
            if lost := lost_worker(error):
                raise lost from None
            if self.accelerator.num_processes > 1 and _lost_connection(error):
                raise ResourceError("another process of this run has ended too early; its states are kept") from None
            if self.job.config.torch_compile and (reason := _not_compiled(error)):
                raise ConfigError(
                    f"training.torch_compile: {reason}; set it to false, or see textdiff doctor"
                ) from None
            raise

    def _run(self, resume: Path | None) -> Progress:
        config = self.job.config
        before = Progress() if resume is None else saved_progress(resume)
        main = self.accelerator.is_main_process
        log_file = self.job.output / "log.jsonl" if main else None
        must_write = config.save_failure == "stop"
        with RunLog(log_file, config.max_steps, before.step, self.job.on_record, must_write) as log, self.stop:
            self._require_same_start(before)
            self.gradient.rows = self._rows(before, log)
            progress = before if resume is None else self.state.load(resume)
            self.kept.came_from(resume, progress)
            log.record("start", step=progress.step, training=asdict(config), **self._batch())
            shares = self._shares(range(progress.step, config.max_steps))
            while not is_over(config, progress):
                if received := largest(self.accelerator, self.stop.received):
                    raise stopped(received, progress.step, self.kept.save(progress))
                progress = self._step(progress, next(shares), log)
                if self.evaluation.is_due(progress.step):
                    progress = self.evaluation.judged(progress, log)
                if progress.step % config.save_steps == 0 or is_over(config, progress):
                    self.kept.save_or_warn(progress, log)
            if words := self.selection.in_words(progress):
                log.say(words)
        fill(self.job.model, self.selection.weights())
        if main:
            self.job.model.to(self.accelerator.device)
            self.job.save_model()
        self.accelerator.wait_for_everyone()
        return progress

    def _batch(self) -> dict[str, int]:
        """How the samples of a step are shared out."""
        return {"samples": self.samples, "rows": self.gradient.rows, "processes": self.accelerator.num_processes}

    def _require_same_start(self, before: Progress) -> None:
        """All processes go on from the same step: each finds its state on the disk that it sees."""
        first, last = smallest(self.accelerator, before.step), largest(self.accelerator, before.step)
        if first != last:
            raise ConfigError(
                f"one process would go on from step {first} and another from step {last}: {self.job.output} must be on a disk "
                "that all of them see"
            )

    def _step(self, progress: Progress, share: Canvas, log: RunLog) -> Progress:
        """One optimizer step on this process's share of the batch."""
        config = self.job.config
        began = time.monotonic()
        self.step_module.train()
        self.step_module.seen_ahead = config.seen_ahead_at(progress.step)
        rate = config.learning_rate_at(progress.step)
        set_learning_rate(self.optimizers, rate)
        tokens = max(1, total(self.accelerator, int(share.free.sum())))
        level = self._levels(progress.step, len(share.ids))
        attempt = functools.partial(self._own_dropout, progress.step)
        sums = self.gradient.compute(share, level, tokens, log.say, attempt)
        size = whole(clip_grad_norm_(self.step_module.parameters(), config.max_grad_norm))
        # Here, and only here, a GPU is waited for once the network runs.
        loss, nelbo, norm = torch.cat((sums, size.double().view(1))).tolist()
        finite = math.isfinite(norm) and math.isfinite(loss)
        if finite:
            for optimizer in self.optimizers:
                optimizer.step()
            self.average.update(config.ema_decay_at(progress.step))
        self.gradient.clear()
        self._count_failures(finite, progress, log)
        done = progress.step + 1
        news = None
        if done % config.logging_steps == 0:
            news = f"loss {loss:.3f}  nelbo {nelbo:.3f} nats/token"
            log.record("step", step=done, loss=loss, nelbo=nelbo, learning_rate=rate, grad_norm=norm, tokens=tokens)
        log.step(done, news)
        return replace(
            progress,
            step=done,
            tokens=progress.tokens + tokens,
            skipped=progress.skipped + (not finite),
            seconds=progress.seconds + time.monotonic() - began,
            rows=self.gradient.rows if self.gradient.rows != config.per_device_train_batch_size else 0,
        )

    @contextlib.contextmanager
    def _own_dropout(self, step: int) -> Iterator[None]:
        """Dropout draws from the global generator: it gets the seed of this step and process, and is put back."""
        here = self.accelerator.device
        with torch.random.fork_rng(devices=[here] if here.type == "cuda" else []):
            torch.manual_seed(int(self.levels.fold(_DROPOUT, step, self.accelerator.process_index).keys[0]))
            yield

    def _shares(self, steps: range) -> Iterator[Canvas]:
        """This process's samples of each global batch."""
        job, accelerator = self.job, self.accelerator
        rows, samples = self.samples // accelerator.num_processes, self.samples
        first = accelerator.process_index * rows
        workers = workers_for(job.config.dataloader_num_workers, accelerator.device, processes_here())
        on_gpu = accelerator.device.type == "cuda"
        return batches(lambda step: job.loader.batch(step * samples + first, rows), steps, workers, on_gpu)

    def _levels(self, step: int, rows: int) -> torch.Tensor:
        """The noise levels of this process's samples."""
        return stratified(self.levels.fold(step), self.accelerator.process_index * rows, rows, self.samples)

    def _rows(self, before: Progress, log: RunLog) -> int:
        """How many samples to take at once: as the recipe says, or as many as fit; never more than the run did before."""
        self.step_module.train()  # memory is wanted for what only training keeps
        wanted = self.job.config.per_device_train_batch_size
        if wanted != "auto":
            return min(wanted, before.rows or wanted)
        processes = self.accelerator.num_processes
        share = self.samples // processes
        # With other parts the last bits of a run that goes on would be others.
        most = min(share, before.rows or share)
        with self._own_dropout(0):
            rows = rows_at_once(self.gradient, self.optimizers, self.job.loader, most, self.accelerator)
        where = f" in each of {processes} processes" if processes > 1 else ""
        log.say(f"{self.samples} samples a step, {rows} at once{where}")
        return rows

    def _count_failures(self, finite: bool, progress: Progress, log: RunLog) -> None:
        """Skipping is decided from the reduced loss and norm, so all processes skip together."""
        self.failures = 0 if finite else self.failures + 1
        if finite:
            return
        first, rows = progress.step * self.samples, self.samples
        log.record("skipped", step=progress.step + 1, samples=[first, first + rows - 1])
        log.say(f"step {progress.step + 1} was skipped: its gradient is not finite")
        if self.failures >= self.job.config.max_skipped_steps:
            raise NonFiniteError(
                f"{self.failures} steps in a row, up to step {progress.step + 1}, had a gradient that is not finite; "
                f"{last_good(self.job.output)}"
            )


def _not_compiled(error: RuntimeError) -> str:
    """Why the compiler gave up, in a line; "" for all other errors."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")) else ""


def _lost_connection(error: RuntimeError) -> bool:
    """Whether torch says that another process is gone; for gloo it has no class of its own for that."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
