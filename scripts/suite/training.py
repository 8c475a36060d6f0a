"""Training runs that end in time: the number of their steps follows from how fast they turn out to be."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRIAL_STEPS = 30
"""Of the trial that measures the speed; the first third is not counted."""
SHARE = 0.9
"""Of a run's time, once it has begun, that its steps get; the rest is for scoring and saving."""
EVALUATIONS = 12


@dataclass(frozen=True)
class Plan:
    """How long a run is to be.

    Attributes:
        steps: in all.
        seconds_per_step: as measured.
    """

    steps: int
    seconds_per_step: float

    @staticmethod
    def within(seconds: float, seconds_per_step: float) -> Plan:
        """As many steps as fit; two at least, as one evaluation comes before the last step."""
        return Plan(max(2, int(SHARE * seconds / seconds_per_step)), seconds_per_step)

    def settings(self) -> list[str]:
        """As `--set` takes them."""
        often = max(1, math.ceil(self.steps / EVALUATIONS))
        minute = max(1, int(60 / self.seconds_per_step))
        return [
            f"training.max_steps={self.steps}",
            f"training.warmup_steps={min(200, max(1, self.steps // 20))}",
            f"training.eval_steps={often}",
            f"training.save_steps={min(self.steps, 2 * minute)}",
            "training.save_total_limit=1",
        ]


def trial_settings() -> list[str]:
    """Of the run that measures the speed: it scores and saves nothing until its end."""
    names = ("max_steps", "eval_steps", "save_steps")
    return [
        *(f"training.{name}={TRIAL_STEPS}" for name in names),
        "training.logging_steps=1",
        "data.validation_share=0",
    ]


def speed(log: Path) -> tuple[float, float]:
    """Seconds of a step, and of a run in which steps began, by a trial's log.

    Raises:
        ValueError: the log has too few steps.
    """
    times = [(event["step"], event["seconds"]) for event in events(log) if event["event"] == "step"]
    late = [(step, seconds) for step, seconds in times if step >= TRIAL_STEPS // 3]
    if len(late) < 2 or late[-1][1] <= late[0][1]:
        raise ValueError(f"{log} has too few steps to tell a speed from")
    return (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0]), late[-1][1]


def curve(log: Path) -> list[dict[str, float]]:
    """Bits per token at each evaluation, against seconds of training in all parts of the run."""
    rows, before, last = [], 0.0, 0.0
    for event in events(log):
        if event["event"] == "start":
            before, last = before + last, 0.0
        last = event.get("seconds", last)  # the record of the final scores has no time
        if event["event"] == "evaluation":
            bits, error = event["nelbo"] / math.log(2), event["standard_error"] / math.log(2)
            rows.append({"step": event["step"], "seconds": before + last, "bits": bits, "standard_error": error})
    return rows


def events(log: Path) -> list[dict[str, Any]]:
    """The records of a run's log; a line that was cut off is left out."""
    found = []
    for line in log.read_text(encoding="utf8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def steps_done(output: Path) -> int:
    """By the newest state of a run."""
    states = sorted(path.name for path in (output / "state").glob("step-*")) if (output / "state").is_dir() else []
    return int(states[-1].rpartition("-")[2]) if states else 0


def outcome(output: Path, plan: Plan) -> dict[str, Any]:
    """What a finished run has to show, plain data."""
    metrics = json.loads((output / "model" / "metrics.json").read_text(encoding="utf8"))
    log = output / "log.jsonl"
    steps = [event for event in events(log) if event["event"] == "step"]
    tokens = steps[-1]["tokens"] if steps else None
    return {
        "steps": plan.steps,
        "seconds_per_step": plan.seconds_per_step,
        "tokens_per_second": tokens / plan.seconds_per_step if tokens else None,
        "curve": curve(log),
        "scores": [
            {key: score.get(key) for key in ("name", "value", "standard_error", "unit", "n", "signature")}
            for score in metrics["scores"]
        ],
    }
