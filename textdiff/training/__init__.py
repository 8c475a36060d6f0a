"""Training through Accelerate."""

from textdiff.training.best import is_over
from textdiff.training.config import TrainingConfig
from textdiff.training.devices import is_main_process, make_accelerator, process_count
from textdiff.training.fingerprint import require_same
from textdiff.training.job import TrainingJob
from textdiff.training.loop import train
from textdiff.training.state import Progress, RunState, saved_progress, state_folders
from textdiff.training.trackers import Trackers, require_trackers

__all__ = [
    "Progress",
    "RunState",
    "Trackers",
    "TrainingConfig",
    "TrainingJob",
    "is_main_process",
    "is_over",
    "make_accelerator",
    "process_count",
    "require_same",
    "require_trackers",
    "saved_progress",
    "state_folders",
    "train",
]
