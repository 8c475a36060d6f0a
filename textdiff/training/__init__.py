"""Training through Accelerate."""

from textdiff.training.config import TrainingConfig
from textdiff.training.devices import is_main_process
from textdiff.training.loop import TrainingJob, train
from textdiff.training.state import Progress, RunState, state_folders

__all__ = ["Progress", "RunState", "TrainingConfig", "TrainingJob", "is_main_process", "state_folders", "train"]
