"""Numbers with unit, standard error and signature."""

from textdiff.metrics.calibration import brier_parts, calibration_error, calibration_parts
from textdiff.metrics.jackknife import jackknife, ratio
from textdiff.metrics.levels import LevelBin, LevelProfile
from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.metrics.ngrams import bigram_entropy, unigram_entropy
from textdiff.metrics.overlap import Overlap, overlap
from textdiff.metrics.score import Score, signature

__all__ = [
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
    "overlap",
    "ratio",
    "signature",
    "unigram_entropy",
]
