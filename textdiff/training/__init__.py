"""Training through Accelerate."""

from textdiff.training.config import TrainingConfig
from textdiff.training.devices import is_main_process, process_count
from textdiff.training.fingerprint import require_same
from textdiff.training.loop import TrainingJob, train
from textdiff.training.state import Progress, RunState, state_folders

__all__ = [
    "Progress",
    "RunState",
    "TrainingConfig",
    "TrainingJob",
    "is_main_process",
    "process_count",
    "require_same",
    "state_folders",
    "train",
]
