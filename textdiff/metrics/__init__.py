"""Numbers with unit, standard error and signature."""

from textdiff.metrics.calibration import brier_parts, calibration_error, calibration_parts
from textdiff.metrics.distinct import distinct
from textdiff.metrics.grams import Gram, grams
from textdiff.metrics.jackknife import Parts, jackknife, jackknife_error, ratio
from textdiff.metrics.lengths import length_excess
from textdiff.metrics.levels import LevelBin, LevelProfile
from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.metrics.loading import MODULES, load, module_path
from textdiff.metrics.mauve import mauve, require_mauve
from textdiff.metrics.ngrams import bigram_entropy, entropy_parts, unigram_entropy
from textdiff.metrics.novelty import known_grams, novelty_parts
from textdiff.metrics.overlap import Overlap, overlap
from textdiff.metrics.perplexity import perplexity
from textdiff.metrics.repetition import repetition_parts
from textdiff.metrics.score import ONE_WINDOW, Score, of_one_window, signature
from textdiff.metrics.self_bleu import self_bleu

__all__ = [
    "MODULES",
    "ONE_WINDOW",
    "Gram",
    "LevelBin",
    "LevelProfile",
    "Likelihood",
    "Overlap",
    "Parts",
    "Score",
    "bigram_entropy",
    "brier_parts",
    "calibration_error",
    "calibration_parts",
    "distinct",
    "entropy_parts",
    "estimate_nelbo",
    "grams",
    "jackknife",
    "jackknife_error",
    "known_grams",
    "length_excess",
    "load",
    "mauve",
    "module_path",
    "novelty_parts",
    "of_one_window",
    "overlap",
    "perplexity",
    "ratio",
    "repetition_parts",
    "require_mauve",
    "self_bleu",
    "signature",
    "unigram_entropy",
]
