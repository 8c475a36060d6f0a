"""The training loop, through Accelerate."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from textdiff.data import TrainingLoader
from textdiff.draws import Draws
from textdiff.errors import NonFiniteError, ResourceError, wants_memory
from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.model import DiffusionModel
from textdiff.objectives import Objective, stratified
from textdiff.text.canvas import Canvas
from textdiff.training.config import TrainingConfig
from textdiff.training.devices import has_bf16_units, make_accelerator
from textdiff.training.ema import ExponentialMovingAverage
from textdiff.training.keeping import KeptStates, last_good
from textdiff.training.log import RunLog
from textdiff.training.optimizers import make_optimizers, set_learning_rate
from textdiff.training.state import Progress, RunState
from textdiff.training.step import TrainingStep
from textdiff.training.stopping import StopRequests, stopped

_LEVELS = 0x1E7E1
_DROPOUT = 0xD0
_EVALUATION_SEED = 20_241


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a run is made of.

    Attributes:
        model: what is trained, in place; in the end it holds the averaged weights.
        loader: samples by number.
        objective: the loss.
        config: how.
        output: the run's folder; states go to `output/state`, the log to `output/log.jsonl`.
        seed: of the noise levels; samples have theirs from the loader.
        validation: makes the held-out canvases, at most as many windows as the argument (None: all), or None.
        save_model: called with the averaged weights in the model whenever a model worth having exists.
        fingerprint: plain data that must agree for a run to be resumed.
    """

    model: DiffusionModel
    loader: TrainingLoader
    objective: Objective
    config: TrainingConfig
    output: Path
    seed: int = 0
    validation: Callable[[int | None], Iterable[Canvas]] | None = None
    save_model: Callable[[], None] = lambda: None
    fingerprint: dict[str, Any] | None = None


def train(job: TrainingJob, resume: Path | None = None) -> Progress:
    """Trains to the end, or goes on from a saved state.

    A run with N processes of batch B equals one with a single process of batch N * B, up to rounding: samples, noise and
    noise levels are numbered over the global batch.

    Raises:
        NonFiniteError: `max_skipped_steps` steps in a row had a gradient that was not finite.
        PreemptedError: SIGTERM came; a state was written.
        KeyboardInterrupt: SIGINT came; a state was written. A second one ends the run at once.
        ResourceError: a single sample needs more memory than there is, or the disk is full.
    """
    return _Trainer(job).run(resume)


class _Trainer:
    """The parts of a running job."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        bf16 = has_bf16_units() if job.config.bf16 is None else job.config.bf16
        self.accelerator = make_accelerator()
        self.optimizers = make_optimizers(job.model, job.config)
        prepared = self.accelerator.prepare(TrainingStep(job.model, job.objective, bf16), *self.optimizers)
        self.step_module = prepared[0]
        self.average = ExponentialMovingAverage(job.model)
        self.state = RunState(job.model, self.average, self.optimizers, job.fingerprint or {})
        self.levels = Draws.seeded(job.seed, self.accelerator.device).fold(_LEVELS)
        self.failures = 0
        self.stop = StopRequests()
        self.kept = KeptStates(self.state, self.accelerator, job.output, job.config)

    def run(self, resume: Path | None) -> Progress:
        try:
            return self._run(resume)
        except RuntimeError as error:
            if self.accelerator.num_processes > 1 and _lost_connection(error):
                raise ResourceError("another process of this run has ended too early; its states are kept") from None
            raise

    def _run(self, resume: Path | None) -> Progress:
        config = self.job.config
        progress = Progress() if resume is None else self.state.load(resume)
        self.kept.came_from(resume, progress)
        main = self.accelerator.is_main_process
        log_file = self.job.output / "log.jsonl" if main else None
        with RunLog(log_file, config.max_steps, progress.step) as log, self.stop:
            log.record("start", step=progress.step, training=asdict(config))
            while progress.step < config.max_steps:
                if received := self._agreed(self.stop.received):
                    raise stopped(received, progress.step, self.kept.save(progress))
                progress = self._step(progress, log)
                if progress.step % config.eval_steps == 0 and progress.step < config.max_steps:
                    self._evaluate(progress, log)
                if progress.step % config.save_steps == 0 or progress.step == config.max_steps:
                    self.kept.save_or_warn(progress, log)
        with torch.no_grad():
            for name, parameter in self.job.model.named_parameters():
                parameter.copy_(self.average.tensors()[name])
        if main:
            self.job.save_model()
        self.accelerator.wait_for_everyone()
        return progress

    def _step(self, progress: Progress, log: RunLog) -> Progress:
        """One optimizer step: all parts of the global batch, their gradients added up."""
        config = self.job.config
        began = time.monotonic()
        self.step_module.train()
        rate = config.learning_rate_at(progress.step)
        set_learning_rate(self.optimizers, rate)
        canvases, levels = self._batches(progress.step)
        tokens = self._total(sum(int(c.free.sum()) for c in canvases))
        with self._own_dropout(progress.step):
            loss, nelbo = self._fitting(canvases, levels, tokens, log)
        norm = float(self.accelerator.clip_grad_norm_(self.step_module.parameters(), config.max_grad_norm))
        finite = math.isfinite(norm) and math.isfinite(loss)
        if finite:
            for optimizer in self.optimizers:
                optimizer.step()
            self.average.update(config.ema_decay_at(progress.step))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self._count_failures(finite, progress, log)
        done = progress.step + 1
        news = None
        if done % config.logging_steps == 0:
            news = f"loss {loss:.3f}  nelbo {nelbo:.3f} nats/token"
            log.record("step", step=done, loss=loss, nelbo=nelbo, learning_rate=rate, grad_norm=norm, tokens=tokens)
        log.step(done, news)
        return Progress(
            step=done,
            tokens=progress.tokens + tokens,
            skipped=progress.skipped + (not finite),
            seconds=progress.seconds + time.monotonic() - began,
        )

    @contextlib.contextmanager
    def _own_dropout(self, step: int) -> Iterator[None]:
        """Dropout draws from the global generator: it gets the seed of this step and process, and is put back."""
        here = self.accelerator.device
        with torch.random.fork_rng(devices=[here] if here.type == "cuda" else []):
            torch.manual_seed(int(self.levels.fold(_DROPOUT, step, self.accelerator.process_index).keys[0]))
            yield

    @property
    def _samples(self) -> int:
        """Of a global batch."""
        config = self.job.config
        rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
        return int(rows * self.accelerator.num_processes)

    def _batches(self, step: int) -> tuple[list[Canvas], list[torch.Tensor]]:
        """This process's parts of global batch `step`, and their noise levels."""
        config, accelerator = self.job.config, self.accelerator
        rows, world = config.per_device_train_batch_size, accelerator.num_processes
        total = self._samples
        canvases, levels = [], []
        for part in range(config.gradient_accumulation_steps):
            first = (part * world + accelerator.process_index) * rows
            canvases.append(self.job.loader.batch(step * total + first, rows).to(accelerator.device))
            levels.append(stratified(self.levels.fold(step), first, rows, total))
        return canvases, levels

    def _accumulate(self, canvases: list[Canvas], levels: list[torch.Tensor], tokens: int) -> tuple[float, float]:
        """Backpropagates every part; returns the loss and the NELBO per token of the global batch."""
        sums = torch.zeros(2, dtype=torch.float64)
        for number, (canvas, level) in enumerate(zip(canvases, levels, strict=True)):
            last = number == len(canvases) - 1
            with self.accelerator.no_sync(self.step_module) if not last else contextlib.nullcontext():
                report = self.step_module(canvas, level)
                # DDP averages over processes; the loss is a sum over the global batch's tokens.
                self.accelerator.backward(report.loss * (self.accelerator.num_processes / tokens))
            sums += torch.stack((report.loss.detach(), report.nelbo_nats)).double().cpu()
        sums = self.accelerator.reduce(sums.to(self.accelerator.device), "sum").cpu() / tokens
        return float(sums[0]), float(sums[1])

    def _fitting(
        self, canvases: list[Canvas], levels: list[torch.Tensor], tokens: int, log: RunLog
    ) -> tuple[float, float]:
        """`_accumulate`, in halves where memory is not enough: the sum of their gradients is the same."""
        while True:
            try:
                return self._accumulate(canvases, levels, tokens)
            except (MemoryError, RuntimeError) as error:
                if not wants_memory(error):
                    raise
                rows = max(len(canvas.ids) for canvas in canvases)
                if rows == 1 or self.accelerator.num_processes > 1:  # the others wait for a gradient that will not come
                    advice = "make the batch, the context or the model smaller"
                    raise ResourceError(f"there is not enough memory for a batch of {rows}; {advice}") from None
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            log.say(f"there is not enough memory for {rows} samples at once: they are split")
            canvases = [part for canvas in canvases for part in _halves(canvas)]
            levels = [part for level in levels for part in level.tensor_split(2) if len(part)]

    def _agreed(self, number: int) -> int:
        """The largest of the numbers that the processes have."""
        if self.accelerator.num_processes == 1:
            return number
        every = self.accelerator.gather(torch.tensor([number], device=self.accelerator.device))
        return int(every.max())

    def _total(self, count: int) -> int:
        counted = torch.tensor(count, device=self.accelerator.device)
        return max(1, int(self.accelerator.reduce(counted, "sum")))

    def _count_failures(self, finite: bool, progress: Progress, log: RunLog) -> None:
        """Skipping is decided from the reduced loss and norm, so all processes skip together."""
        self.failures = 0 if finite else self.failures + 1
        if finite:
            return
        first, rows = progress.step * self._samples, self._samples
        log.record("skipped", step=progress.step + 1, samples=[first, first + rows - 1])
        log.say(f"step {progress.step + 1} was skipped: its gradient is not finite")
        if self.failures >= self.job.config.max_skipped_steps:
            raise NonFiniteError(
                f"{self.failures} steps in a row, up to step {progress.step + 1}, had a gradient that is not finite; "
                f"{last_good(self.job.output)}"
            )

    def _evaluate(self, progress: Progress, log: RunLog) -> Likelihood | None:
        """Scores a part of the held-out text with the averaged weights, and saves the model."""
        if not self.accelerator.is_main_process:
            return None
        self.job.model.eval()
        with self.average.swapped_in():
            self.job.save_model()
            if self.job.validation is None:
                return None
            canvases = (c.to(self.accelerator.device) for c in self.job.validation(self.job.config.eval_windows))
            found = estimate_nelbo(self.job.model.denoise, self.job.model.process, canvases, seed=_EVALUATION_SEED)
        log.record("evaluation", step=progress.step, nelbo=found.nats_per_token, standard_error=found.standard_error)
        score = f"{found.nats_per_token:.4f} ± {found.standard_error:.4f} nats/token"
        log.say(f"step {progress.step}: held-out nelbo {score}")
        return found


def _lost_connection(error: RuntimeError) -> bool:
    """Whether torch says that another process is gone; for gloo it has no class of its own for that."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _halves(canvas: Canvas) -> list[Canvas]:
    """A batch in two parts, or one if it is a single row; cut where `Tensor.tensor_split` cuts."""
    parts = torch.arange(len(canvas.ids), device=canvas.ids.device).tensor_split(2)
    return [canvas.rows(part) for part in parts if len(part)]
