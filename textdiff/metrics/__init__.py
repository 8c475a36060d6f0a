"""Numbers with unit, standard error and signature."""

from textdiff.metrics.likelihood import Likelihood, estimate_nelbo
from textdiff.metrics.ngrams import bigram_entropy, unigram_entropy
from textdiff.metrics.score import Score, signature

__all__ = ["Likelihood", "Score", "bigram_entropy", "estimate_nelbo", "signature", "unigram_entropy"]
