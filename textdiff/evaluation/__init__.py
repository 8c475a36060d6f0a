"""Runs metrics and signs their results."""

from textdiff.evaluation.benchmark import BenchmarkMetric
from textdiff.evaluation.generation import GENERATION, GenerationRow, GenerationTask, Scorer, evaluate_generation
from textdiff.evaluation.held_out import HeldOutReport, score_held_out
from textdiff.evaluation.infilling import InfillReport, case_sets, evaluate_infilling
from textdiff.evaluation.likelihood import ScoredText, can_be_scored, entropy_scores, likelihood_scores, measure_nelbo
from textdiff.evaluation.orders import evaluate_decoder, evaluate_order_bound
from textdiff.evaluation.pairs import score_held_out_pairs
from textdiff.evaluation.running import (
    ASKED,
    DECODER,
    INFILL,
    METRICS,
    ORDER_BOUND,
    check_metrics,
    evaluate,
    scored_text,
)
from textdiff.evaluation.translation import TRANSLATION, TranslationRow, evaluate_translation, translation_scores

__all__ = [
    "ASKED",
    "DECODER",
    "GENERATION",
    "INFILL",
    "METRICS",
    "ORDER_BOUND",
    "TRANSLATION",
    "BenchmarkMetric",
    "GenerationRow",
    "GenerationTask",
    "HeldOutReport",
    "InfillReport",
    "ScoredText",
    "Scorer",
    "TranslationRow",
    "can_be_scored",
    "case_sets",
    "check_metrics",
    "entropy_scores",
    "evaluate",
    "evaluate_decoder",
    "evaluate_generation",
    "evaluate_infilling",
    "evaluate_order_bound",
    "evaluate_translation",
    "likelihood_scores",
    "measure_nelbo",
    "score_held_out",
    "score_held_out_pairs",
    "scored_text",
    "translation_scores",
]
