"""How to train: the keys that Hugging Face's `TrainingArguments` has, where it has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from textdiff.errors import ConfigError
from textdiff.training.trackers import check_trackers


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training run.

    Attributes:
        max_steps: optimizer steps.
        per_device_train_batch_size: samples of one process in one forward pass. `auto`: a power of two that fits in memory,
            found by trying (on CPUs no more than are faster, 2,048 tokens a core); it needs `global_batch_size`, so that what
            is learned never depends on the machine but for the masks of dropout (`auto_find_batch_size` of Hugging Face
            changes the global batch instead). A run that goes on takes no more at once than it did before, so that it ends
            with the same bits.
        gradient_accumulation_steps: forward passes of one optimizer step, where `global_batch_size` is not given.
        global_batch_size: samples of one optimizer step, over all processes. Each process takes an equal share, in as many
            forward passes as `per_device_train_batch_size` makes necessary. By default the product of that,
            `gradient_accumulation_steps` and the number of processes.
        gradient_checkpointing: keeps only what enters each layer, and computes the rest again in the backward pass: about a
            third slower, for a fraction of the memory (arXiv 1604.06174). The gradients are the same.
        torch_compile: the layers are compiled (`torch.compile`): a minute at the start, then faster on GPUs. It
            needs a C++ compiler.
        fsdp: weights, gradients and the optimizer's state are sharded over the processes (FSDP2, arXiv 2304.11277) instead
            of copied. So does `accelerate launch --use_fsdp --fsdp_version 2`, whatever stands here.
        dataloader_num_workers: processes that make batches ahead. `auto`: up to 8 beside a GPU, none where the network itself
            runs on the CPU. What is learned does not depend on it.
        learning_rate: the peak.
        embedding_learning_rate: that of embeddings, norms and biases; by default the same. Where a trained body gets tokens
            that are new to it, these want a higher one than the body stands.
        warmup_steps: from 0 to the peak.
        lr_scheduler_type: how the rate falls after that. `warmup_stable_decay` stays at the peak and falls linearly to zero
            over the last `decay_share` of the run, so a run can be prolonged without having chosen its length before.
        decay_share: of `warmup_stable_decay`.
        attention_annealing_steps: over so many steps a left-to-right network is led from its causal mask to none: at step n of
            N each position sees every later one with probability n / N (attention mask annealing, arXiv 2410.17891). By
            default it reads in both directions at once.
        optim: `adamw`, or `muon` for the matrices inside the blocks and AdamW for all else.
        weight_decay: of matrices; vectors and embeddings have none.
        adam_beta1, adam_beta2, adam_epsilon: of AdamW.
        max_grad_norm: gradients are scaled down to this norm.
        ema_decay: of the averaged weights, which are what is evaluated and saved; by default sized to the run, so that the
            average spans its last few per cent.
        bf16: matrix products in bfloat16 (autocast); by default where the machine has units for it.
        eval_steps, save_steps, logging_steps: how often, in steps.
        eval_windows: the windows of the validation text that are scored during training (at the end: all, up to 2^20 tokens);
            of a text with fewer each is scored several times.
        early_stopping_patience: training stops after so many evaluations in a row without a new lowest held-out NELBO; by
            default never.
        load_best_model_at_end: the model that comes out has the averaged weights of the evaluation with the lowest held-out
            NELBO, and not the last ones. The last step is then evaluated too. Where no text is held out, neither this nor
            `early_stopping_patience` does anything.
        save_total_limit: how many states of the run to keep.
        save_failure: what follows when the disk is full: `stop`, or `warn` and go on; the older states stay in either case.
        max_skipped_steps: how many steps in a row may have a loss or gradient that is not finite.
        report_to: trackers that are told what the log is told, such as tensorboard, trackio or wandb (one, or a list; `none`
            is none). Each needs its package.
    """

    max_steps: int = 1_000
    per_device_train_batch_size: int | Literal["auto"] = 32
    gradient_accumulation_steps: int = 1
    global_batch_size: int | None = None
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    fsdp: bool = False
    dataloader_num_workers: int | Literal["auto"] = "auto"
    learning_rate: float = 1e-3
    embedding_learning_rate: float | None = None
    warmup_steps: int = 50
    lr_scheduler_type: Literal["linear", "cosine", "constant", "warmup_stable_decay"] = "cosine"
    decay_share: float = 0.2
    attention_annealing_steps: int = 0
    optim: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.05
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    ema_decay: float | None = None
    bf16: bool | None = None
    eval_steps: int = 250
    save_steps: int = 500
    logging_steps: int = 10
    eval_windows: int = 64
    early_stopping_patience: int | None = None
    load_best_model_at_end: bool = False
    save_total_limit: int = 2
    save_failure: Literal["stop", "warn"] = "stop"
    max_skipped_steps: int = 10
    report_to: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_trackers(self.trackers)
        counts = (
            "max_steps per_device_train_batch_size gradient_accumulation_steps global_batch_size eval_steps save_steps "
            "logging_steps eval_windows early_stopping_patience save_total_limit max_skipped_steps"
        )
        for name in counts.split():
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        self._check_batch()
        for name in ("learning_rate", "embedding_learning_rate", "max_grad_norm", "adam_epsilon"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_steps", "weight_decay", "dataloader_num_workers", "attention_annealing_steps"):
            value = getattr(self, name)
            if value != "auto" and value < 0:
                raise ConfigError(f"{name} must not be negative, got {value}")
        for name in ("adam_beta1", "adam_beta2", "decay_share", "ema_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {value}")

        if self.attention_annealing_steps > self.max_steps:
            raise ConfigError(
                f"attention_annealing_steps must be at most max_steps, {self.max_steps}, "
                f"got {self.attention_annealing_steps}: a model that is used reads in both directions"
            )

    @property
    def trackers(self) -> tuple[str, ...]:
        """The names in `report_to`, each once."""
        given = (self.report_to,) if isinstance(self.report_to, str) else self.report_to
        return () if given == ("none",) else tuple(dict.fromkeys(given))

    def _check_batch(self) -> None:
        if self.per_device_train_batch_size == "auto" and self.global_batch_size is None:
            raise ConfigError("per_device_train_batch_size: auto needs global_batch_size, the samples of a whole step")
        if self.global_batch_size is not None and self.gradient_accumulation_steps != 1:
            raise ConfigError("give either global_batch_size or gradient_accumulation_steps, which follows from it")

    def samples_per_step(self, processes: int) -> int:
        """The samples of an optimizer step, over all processes.

        Raises:
            ConfigError: `global_batch_size` cannot be shared out equally.
        """
        if self.global_batch_size is None:
            return int(self.per_device_train_batch_size) * self.gradient_accumulation_steps * processes
        if self.global_batch_size % processes:
            raise ConfigError(
                f"global_batch_size is {self.global_batch_size}, which {processes} processes cannot share equally"
            )
        return self.global_batch_size

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step 0 … max_steps - 1."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        left = (self.max_steps - step) / max(1, self.max_steps - self.warmup_steps)
        shape = {
            "constant": 1.0,
            "linear": left,
            "cosine": 0.5 - 0.5 * math.cos(math.pi * left),
            "warmup_stable_decay": min(1.0, left / self.decay_share) if self.decay_share else 1.0,
        }
        return self.learning_rate * shape[self.lr_scheduler_type]

    def seen_ahead_at(self, step: int) -> float:
        """The probability that a later position is seen at step 0 … max_steps - 1; see `attention_annealing_steps`."""
        return min(1.0, (step + 1) / self.attention_annealing_steps) if self.attention_annealing_steps else 1.0

    def ema_decay_at(self, step: int) -> float:
        """The EMA's decay after `step` steps: short at first, so that the fresh weights are soon forgotten."""
        final = 1 - 1 / max(10.0, 0.02 * self.max_steps) if self.ema_decay is None else self.ema_decay
        return min(final, (1 + step) / (10 + step))
