"""How to train: the keys that Hugging Face's `TrainingArguments` has, where it has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from textdiff.errors import ConfigError


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training run.

    Attributes:
        max_steps: optimizer steps.
        per_device_train_batch_size: samples of one process in one forward pass.
        gradient_accumulation_steps: forward passes of one optimizer step.
        learning_rate: the peak.
        warmup_steps: from 0 to the peak.
        lr_scheduler_type: how the rate falls after that. `warmup_stable_decay` stays at the peak and falls linearly to zero
            over the last `decay_share` of the run, so a run can be prolonged without having chosen its length before.
        decay_share: of `warmup_stable_decay`.
        optim: `adamw`, or `muon` for the matrices inside the blocks and AdamW for all else.
        weight_decay: of matrices; vectors and embeddings have none.
        adam_beta1, adam_beta2, adam_epsilon: of AdamW.
        max_grad_norm: gradients are scaled down to this norm.
        ema_decay: of the averaged weights, which are what is evaluated and saved; by default sized to the run, so that the
            average spans its last few per cent.
        bf16: matrix products in bfloat16 (autocast); by default where the machine has units for it.
        eval_steps, save_steps, logging_steps: how often, in steps.
        eval_windows: the windows of the validation text that are scored during training (all at the end).
        save_total_limit: how many states of the run to keep.
        save_failure: what follows when the disk is full: `stop`, or `warn` and go on; the older states stay in either case.
        max_skipped_steps: how many steps in a row may have a loss or gradient that is not finite.
    """

    max_steps: int = 1_000
    per_device_train_batch_size: int = 32
    gradient_accumulation_steps: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 50
    lr_scheduler_type: Literal["linear", "cosine", "constant", "warmup_stable_decay"] = "cosine"
    decay_share: float = 0.2
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
    save_total_limit: int = 2
    save_failure: Literal["stop", "warn"] = "stop"
    max_skipped_steps: int = 10

    def __post_init__(self) -> None:
        counts = (
            "max_steps per_device_train_batch_size gradient_accumulation_steps eval_steps save_steps logging_steps "
            "eval_windows save_total_limit max_skipped_steps"
        )
        for name in counts.split():
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm", "adam_epsilon"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("adam_beta1", "adam_beta2", "decay_share", "ema_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {value}")

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

    def ema_decay_at(self, step: int) -> float:
        """The EMA's decay after `step` steps: short at first, so that the fresh weights are soon forgotten."""
        final = 1 - 1 / max(10.0, 0.02 * self.max_steps) if self.ema_decay is None else self.ema_decay
        return min(final, (1 + step) / (10 + step))
