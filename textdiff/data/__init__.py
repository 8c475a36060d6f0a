"""Texts in, canvases out."""

from textdiff.corpus import load_corpus, read_corpus
from textdiff.data.documents import DocumentEnds
from textdiff.data.loader import Loader, TrainingLoader, evaluation_batches
from textdiff.data.packing import PackedCorpus, encode_corpus, encode_pieces
from textdiff.data.pairs import PairCorpus, PairLoader, encode_pairs, pair_batches, pair_canvas
from textdiff.data.prepared import PreparedCorpus, is_prepared, prepare_corpus
from textdiff.data.tasks import GapMaker, GapsTask, LengthsTask, PrefixTask, WholeTask
from textdiff.data.windows import Windows
from textdiff.data.words import word_joins

__all__ = [
    "DocumentEnds",
    "GapMaker",
    "GapsTask",
    "LengthsTask",
    "Loader",
    "PackedCorpus",
    "PairCorpus",
    "PairLoader",
    "PrefixTask",
    "PreparedCorpus",
    "TrainingLoader",
    "WholeTask",
    "Windows",
    "encode_corpus",
    "encode_pairs",
    "encode_pieces",
    "evaluation_batches",
    "is_prepared",
    "load_corpus",
    "pair_batches",
    "pair_canvas",
    "prepare_corpus",
    "read_corpus",
    "word_joins",
]
