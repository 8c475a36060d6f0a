"""Texts that a model writes, and what can be said of them."""

from textdiff.evaluation.generation.running import GENERATION, GenerationRow, GenerationTask, evaluate_generation
from textdiff.evaluation.generation.scorer import Scorer

__all__ = ["GENERATION", "GenerationRow", "GenerationTask", "Scorer", "evaluate_generation"]
