"""Files of text, read as a stream: strict about what they hold, and in little memory. Needs no torch."""

from textdiff.corpus.checking import CorpusReport, check_corpus
from textdiff.corpus.chunks import Chunk, chunks_of, stream_chunks
from textdiff.corpus.detokenizing import Detokenizer, check_detokenizer, detokenize
from textdiff.corpus.events import Piece, Problem
from textdiff.corpus.opening import require_file
from textdiff.corpus.options import ReadOptions, Unit, check_encoding
from textdiff.corpus.pairs import Pair, PairOptions, read_pairs
from textdiff.corpus.reading import load_corpus, read_corpus

__all__ = [
    "Chunk",
    "CorpusReport",
    "Detokenizer",
    "Pair",
    "PairOptions",
    "Piece",
    "Problem",
    "ReadOptions",
    "Unit",
    "check_corpus",
    "check_detokenizer",
    "check_encoding",
    "chunks_of",
    "detokenize",
    "load_corpus",
    "read_corpus",
    "read_pairs",
    "require_file",
    "stream_chunks",
]
