"""Texts in, canvases out."""

from textdiff.data.corpus import load_corpus
from textdiff.data.loader import TrainingLoader, evaluation_batches
from textdiff.data.packing import PackedCorpus, encode_corpus
from textdiff.data.tasks import GapMaker, GapsTask, LengthsTask, PrefixTask, WholeTask
from textdiff.data.words import word_joins

__all__ = [
    "GapMaker",
    "GapsTask",
    "LengthsTask",
    "PackedCorpus",
    "PrefixTask",
    "TrainingLoader",
    "WholeTask",
    "encode_corpus",
    "evaluation_batches",
    "load_corpus",
    "word_joins",
]
