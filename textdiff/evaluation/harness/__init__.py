"""The model as lm-evaluation-harness asks for it. The harness is imported only where it is run."""

from textdiff.evaluation.harness.answers import Answers, Question, Tally
from textdiff.evaluation.harness.running import HarnessReport, run_harness

__all__ = ["Answers", "HarnessReport", "Question", "Tally", "run_harness"]
