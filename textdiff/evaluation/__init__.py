"""Runs metrics and signs their results."""

from textdiff.evaluation.likelihood import ScoredText, entropy_scores, likelihood_scores, measure_nelbo
from textdiff.evaluation.running import METRICS, evaluate, scored_text

__all__ = [
    "METRICS",
    "ScoredText",
    "entropy_scores",
    "evaluate",
    "likelihood_scores",
    "measure_nelbo",
    "scored_text",
]
