"""Numbers with unit, standard error and signature."""

from textdiff.metrics.calibration import brier_parts, calibration_error, calibration_parts
from textdiff.metrics.jackknife import jackknife, ratio
from textdiff.metrics.levels import LevelBin, LevelProfile
from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.metrics.ngrams import bigram_entropy, unigram_entropy
from textdiff.metrics.overlap import Overlap, overlap
from textdiff.metrics.score import ONE_WINDOW, Score, of_one_window, signature

__all__ = [
    "ONE_WINDOW",
    "LevelBin",
    "LevelProfile",
    "Likelihood",
    "Overlap",
    "Score",
    "bigram_entropy",
    "brier_parts",
    "calibration_error",
    "calibration_parts",
    "estimate_nelbo",
    "jackknife",
    "of_one_window",
    "overlap",
    "ratio",
    "signature",
    "unigram_entropy",
]
